"""Thresholds on a grid, chosen by right answers, by calibrated confidence, by both, and on the test rows.

python3 grid.py RUN ...; reads /tmp/h/logits/RUN-val.safetensors and -test.safetensors. Printed:
mate-0  T [1.12 1.15 1.18] hard 31.57 soft 31.59 mix 31.60 best-on-test 31.67 | cost hard 0.6623 soft 0.6647
plain-0 T [1.1  1.15 1.25] hard 30.50 soft 30.49 mix 30.57 best-on-test 30.55 | cost hard 0.6631 soft 0.6654
"""
import numpy as np, sys, json, struct
def load(p):
    b=open(p,'rb').read(); n=struct.unpack('<Q',b[:8])[0]; h=json.loads(b[8:8+n]); d=b[8+n:]
    g=lambda k,t:np.frombuffer(d[h[k]['data_offsets'][0]:h[k]['data_offsets'][1]],t).reshape(h[k]['shape'])
    K=len([k for k in h if k.startswith('exit')])
    return [g(f'exit{k}','<f4').astype(float) for k in range(K)],g('labels','<i8'),g('macs','<i8')
sm=lambda z:(lambda e:e/e.sum(1,keepdims=True))(np.exp(z-z.max(1,keepdims=True)))
def stats(L,y,T):
    return [sm(z).max(1) for z in L],[(z.argmax(1)==y).astype(float) for z in L],[sm(z/t).max(1) for z,t in zip(L,T)]
def fitT(z,y):
    ts=np.linspace(.5,2.5,81); nll=[-np.log(sm(z/t)[np.arange(len(y)),y]).mean() for t in ts]; return ts[int(np.argmin(nll))]
for r in sys.argv[1:]:
    L,y,m=load(f'/tmp/h/logits/{r}-val.safetensors'); Lt,yt,_=load(f'/tmp/h/logits/{r}-test.safetensors')
    T=[fitT(z,y) for z in L]; c,h,s=stats(L,y,T); ct,ht,_=stats(Lt,yt,T)
    q=np.linspace(0,1,81); q0=np.quantile(c[0],q); q1=np.quantile(c[1],q)
    def ev(c,a0,a1,v):
        e0=c[0]>=a0; e1=~e0&(c[1]>=a1); e2=~e0&~e1
        return (m[0]*e0+m[1]*e1+m[2]*e2).mean()/m[2],(v[0]*e0+v[1]*e1+v[2]*e2).mean()*100
    P=[(ev(c,a,b,h),ev(c,a,b,s)[1],ev(ct,a,b,ht)) for a in q0 for b in q1]
    out=[]
    for B in np.linspace(.42,.9,33):
        ok=[p for p in P if p[0][0]<=B]
        hard=max(ok,key=lambda p:p[0][1]); soft=max(ok,key=lambda p:p[1]); mix=max(ok,key=lambda p:p[1]+p[0][1]); best=max((p for p in P if p[2][0]<=B),key=lambda p:p[2][1])
        out.append((hard[2][1]-0,soft[2][1],mix[2][1],best[2][1],hard[2][0],soft[2][0]))
    o=np.array(out).mean(0); print(r,'T',np.round(T,2),'hard %.2f soft %.2f mix %.2f best-on-test %.2f | cost hard %.4f soft %.4f'%tuple(o))
