//! The runtime in which the workers of the endpoints run: [`WorkerRuntime`].
//!
//! It is the application's, or one of the notifier's own with one thread, which ends
//! with the last worker.

use tokio::runtime::{Builder, EnterGuard, Handle, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{BuildError, MistakeKind};

/// The name of the thread of the notifier's own runtime.
const THREAD: &str = "notifications";

/// The runtime in which the workers of the endpoints run.
pub(crate) enum WorkerRuntime {
    /// There are no workers, and there may be no runtime.
    None,
    /// The runtime in which the notifier is built.
    Given(Handle),
    /// The notifier's own runtime, with one thread.
    Own(Handle, OwnRuntime),
}

/// A runtime that may be dropped anywhere. Dropping tokio's runtime panics in an
/// asynchronous context, because it waits for blocking tasks such as name lookups.
pub(crate) struct OwnRuntime(Option<Runtime>);

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl WorkerRuntime {
    /// # Errors
    ///
    /// If there are workers and no runtime.
    pub(crate) fn new(workers: bool, own: bool) -> Result<Self, BuildError> {
        if !workers {
            return Ok(Self::None);
        }
        if own {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| refused(&error))?;
            return Ok(Self::Own(
                runtime.handle().clone(),
                OwnRuntime(Some(runtime)),
            ));
        }
        Handle::try_current().map(Self::Given).map_err(|_| {
            let remedy = "build the notifier inside a Tokio runtime, or give it one of its own";
            BuildError::new("runtime", "none", remedy).with_kind(MistakeKind::NoRuntime)
        })
    }

    /// Enters the runtime. Layers of the user may need it when they are built.
    pub(crate) fn enter(&self) -> Option<EnterGuard<'_>> {
        match self {
            Self::None => None,
            Self::Given(handle) | Self::Own(handle, _) => Some(handle.enter()),
        }
    }

    /// Starts the workers. If the runtime is the notifier's own, its thread ends with
    /// the last worker.
    ///
    /// # Errors
    ///
    /// If the system refuses another thread.
    pub(crate) fn start<W>(self, workers: Vec<W>) -> Result<Vec<JoinHandle<()>>, BuildError>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let (handle, own) = match self {
            Self::None => return Ok(Vec::new()),
            Self::Given(handle) => (handle, None),
            Self::Own(handle, own) => (handle, Some(own)),
        };
        // Each task owns a sender, which is dropped even if the task is aborted or
        // panics. The receiver therefore ends with the last task.
        let (running, mut ended) = mpsc::channel::<()>(1);
        let tasks = workers.into_iter().map(|worker| {
            let running = running.clone();
            handle.spawn(async move {
                worker.await;
                drop(running);
            })
        });
        let tasks = tasks.collect();
        drop(running);
        if let Some(own) = own {
            let thread = std::thread::Builder::new().name(THREAD.into());
            let run = move || {
                if let Some(runtime) = &own.0 {
                    runtime.block_on(ended.recv());
                }
            };
            thread.spawn(run).map_err(|error| refused(&error))?;
        }
        Ok(tasks)
    }
}

fn refused(error: &std::io::Error) -> BuildError {
    let remedy = format!("the system refuses it: {error}");
    BuildError::new("own runtime", true, &remedy)
}
