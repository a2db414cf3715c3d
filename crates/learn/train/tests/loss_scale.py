"""Golden numbers of tests in src/loss_scale.rs: PyTorch's torch.amp.GradScaler on the CPU."""

import torch

weight = torch.nn.Parameter(torch.ones(1))
optimizer = torch.optim.SGD([weight], lr=0.1)
scaler = torch.amp.GradScaler("cpu")
overflows = {0, 1, 5, 2004, 2005, 4010}
print("start", scaler.get_scale())
before = scaler.get_scale()
for step in range(8100):
    optimizer.zero_grad()
    factor = float("inf") if step in overflows else 1e-6
    scaler.scale((weight * factor).sum()).backward()
    kept = weight.item()
    scaler.step(optimizer)
    assert (weight.item() == kept) == (step in overflows)
    scaler.update()
    if scaler.get_scale() != before:
        before = scaler.get_scale()
        print(step, before, scaler._get_growth_tracker())
print("end", scaler.get_scale(), scaler._get_growth_tracker())
