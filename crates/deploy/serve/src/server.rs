//! The server: connections, reloading, shutting down.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::metrics::Metrics;
use crate::models::Models;
use crate::routes::router;
use crate::state::State;
use crate::{Config, Limits, ServeError, Source, Tls};

/// What a header may take.
const HEADER_BYTES: usize = 64 << 10;

/// The pause before an engine that panicked is started again; twice as long after each failure, up to
/// the longest.
const REVIVAL: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// A service that listens and has its models loaded.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: State,
    certificate: Option<Certificate>,
    died: mpsc::UnboundedReceiver<usize>,
    stop: watch::Sender<bool>,
}

/// The certificate in use, and the path of a new one.
#[derive(Clone)]
struct Certificate {
    files: Tls,
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

/// Stops a service, or makes it load its models again.
#[derive(Clone)]
pub struct Control {
    state: State,
    certificate: Option<Certificate>,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Loads the models and listens.
    ///
    /// # Errors
    /// Every [`ServeError`].
    pub async fn bind(config: Config, sources: Vec<Box<dyn Source>>) -> Result<Self, ServeError> {
        config.limits.check()?;
        let address = config.listen;
        let listen = |source| ServeError::Listen { address, source };
        // First: an address in use is reported before minutes of loading.
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let certificate = config.tls.map(Certificate::read).transpose()?;
        let metrics = Metrics::new();
        let (died_sender, died) = mpsc::unbounded_channel();
        let (queue, of_models) = (config.limits.queue, metrics.clone());
        let load = move || Models::load(sources, queue, of_models, died_sender);
        let models = tokio::task::spawn_blocking(load).await;
        let models = models.unwrap_or_else(|panic| {
            Err(ServeError::Load {
                name: String::new(),
                source: panic.into(),
            })
        })?;
        Ok(Self {
            address: listener.local_addr().map_err(listen)?,
            listener,
            state: State::new(models, config.limits, config.keys, metrics),
            certificate,
            died,
            stop: watch::Sender::new(false),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stops it or makes it load again.
    pub fn control(&self) -> Control {
        Control {
            state: self.state.clone(),
            certificate: self.certificate.clone(),
            stop: self.stop.clone(),
        }
    }

    /// Serves until it is stopped and all accepted requests are answered.
    ///
    /// # Errors
    /// None at present; a connection that breaks is no error of the service.
    pub async fn run(self) -> Result<(), ServeError> {
        let limits = self.state.limits.clone();
        let mut stop = self.stop.subscribe();
        let revival = tokio::spawn(revive(self.state.clone(), self.died));
        let accept = Accept {
            router: router(self.state.clone()),
            certificate: self.certificate,
            places: Arc::new(Semaphore::new(limits.connections)),
            graceful: GracefulShutdown::new(),
            state: self.state.clone(),
        };
        let stopping = async {
            // The sender lives in `self`; that it is gone means stop as well.
            let _ = stop.wait_for(|stop| *stop).await;
            self.state.stop();
            sleep(limits.drain_time).await;
        };
        tokio::select! {
            () = accept.forever(&self.listener) => {}
            () = stopping => {}
        }
        drop(self.listener);
        if timeout(limits.stop_time, accept.graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("requests were still under way after {:?}", limits.stop_time);
        }
        revival.abort();
        Ok(())
    }
}

/// Takes connections.
struct Accept {
    router: Router,
    certificate: Option<Certificate>,
    places: Arc<Semaphore>,
    graceful: GracefulShutdown,
    state: State,
}

impl Accept {
    async fn forever(&self, listener: &TcpListener) {
        loop {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => self.begin(stream, place),
                Err(error) => {
                    // Out of file descriptors, most likely: others will close.
                    tracing::warn!("no connection: {error}");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn begin(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Answers are one small write; without this they wait for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        let limits = &self.state.limits;
        match &self.certificate {
            None => self.serve(stream, place),
            Some(certificate) => {
                let acceptor = TlsAcceptor::from(certificate.current());
                let serve = self.server();
                let patience = limits.header_time;
                tokio::spawn(async move {
                    if let Ok(Ok(stream)) = timeout(patience, acceptor.accept(stream)).await {
                        serve(stream, place);
                    }
                });
            }
        }
    }

    fn serve(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        (self.server())(stream, place);
    }

    /// Serves a stream in a task of its own, which a stopping service waits for.
    fn server<S>(&self) -> impl FnOnce(S, OwnedSemaphorePermit) + Send + 'static + use<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = TowerToHyperService::new(self.router.clone());
        let builder = http1(&self.state.limits);
        let watcher = self.graceful.watcher();
        let connections = self.state.metrics.connections().clone();
        move |stream, place| {
            connections.inc();
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let connection = watcher.watch(connection);
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = pin!(connection).await {
                    tracing::debug!("a connection ended early: {error}");
                }
                connections.dec();
            });
        }
    }
}

fn http1(limits: &Limits) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(HEADER_BYTES);
    builder
}

/// Starts engines again that panicked.
async fn revive(state: State, mut died: mpsc::UnboundedReceiver<usize>) {
    let mut revivals = JoinSet::new();
    while let Some(number) = died.recv().await {
        let state = state.clone();
        revivals.spawn(async move {
            let mut pause = REVIVAL;
            loop {
                sleep(pause).await;
                let state = state.clone();
                let reload = move || state.models.reload(Some(number));
                if let Ok(true) = tokio::task::spawn_blocking(reload).await {
                    return;
                }
                pause = LONGEST.min(2 * pause);
            }
        });
    }
}

impl Certificate {
    fn read(files: Tls) -> Result<Self, ServeError> {
        let config = Arc::new(RwLock::new(files.config()?));
        Ok(Self { files, config })
    }

    fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn renew(&self) {
        match self.files.config() {
            Ok(new) => *self.config.write().unwrap_or_else(PoisonError::into_inner) = new,
            Err(error) => tracing::error!("the certificate stays as it was: {error}"),
        }
    }
}

impl Control {
    /// Stops the service: `/readyz` answers 503 at once, connections are taken for
    /// [`Limits::drain_time`] more, and what is accepted is answered.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Loads all models and the certificate again. Requests are answered meanwhile, by the models of
    /// before; one that cannot be loaded stays as it was.
    pub async fn reload(&self) {
        let (state, certificate) = (self.state.clone(), self.certificate.clone());
        let reload = move || {
            if let Some(certificate) = certificate {
                certificate.renew();
            }
            state.models.reload(None)
        };
        if tokio::task::spawn_blocking(reload).await.is_err() {
            tracing::error!("loading a model panicked");
        }
    }

    /// SIGHUP loads again, SIGINT and SIGTERM stop. Returns when a second one of these asks to stop at
    /// once.
    ///
    /// On other systems than Unix, Ctrl-C stops.
    pub async fn follow_signals(&self) {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let signals = (
                signal(SignalKind::hangup()),
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            );
            let (Ok(mut hangup), Ok(mut interrupt), Ok(mut terminate)) = signals else {
                tracing::error!("signals cannot be followed");
                return std::future::pending().await;
            };
            let mut told = false;
            loop {
                tokio::select! {
                    _ = hangup.recv() => {
                        self.reload().await;
                        continue;
                    }
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if told {
                    return;
                }
                told = true;
                tracing::info!("stopping; once more stops at once");
                self.stop();
            }
        }
        #[cfg(not(unix))]
        for _ in 0..2 {
            if tokio::signal::ctrl_c().await.is_err() {
                return std::future::pending().await;
            }
            self.stop();
        }
    }
}
