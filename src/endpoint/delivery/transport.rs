//! What an endpoint's worker sends requests with: [`Transport`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tokio::time::Instant;
use tower::{BoxError, ServiceExt as _, service_fn};

use super::response::{Deadline, Delivery};

/// A request under way, and the response to it.
pub(crate) type Sent = Pin<Box<dyn Future<Output = Result<Response<Bytes>, BoxError>> + Send>>;

/// The crate's own client.
pub(crate) trait Client: Send + Sync {
    /// Sends a request. The attempt ends at `deadline`, for which the caller
    /// drops the future.
    fn send(self: Arc<Self>, request: Request<Bytes>, deadline: Option<Instant>) -> Sent;

    /// Closes idle connections that the receiver has closed, or that have been
    /// idle for too long. Wakes the task when there may be more to close.
    fn poll_idle(&self, cx: &mut Context<'_>);
}

/// The way in which an endpoint's worker sends requests.
#[derive(Clone)]
#[cfg_attr(
    not(feature = "client"),
    expect(dead_code, reason = "without the feature users bring a client")
)]
pub(crate) enum Transport {
    /// The crate's own client, with nothing in between.
    Direct(Arc<dyn Client>),
    /// Layers around it.
    Layered(Delivery, Arc<dyn Client>),
    /// A client of the user's, which may have layers around it.
    Own(Delivery),
}

impl Transport {
    /// Wraps a layer around the client.
    pub(crate) fn layered(self, wrap: impl Fn(Delivery) -> Delivery) -> Self {
        match self {
            Self::Direct(client) => Self::Layered(wrap(delivery(client.clone())), client),
            Self::Layered(inner, client) => Self::Layered(wrap(inner), client),
            Self::Own(inner) => Self::Own(wrap(inner)),
        }
    }

    /// Begins to send a request. The attempt ends at `deadline`; `None` if that
    /// is too far away to be represented.
    pub(crate) fn send(self, mut request: Request<Bytes>, deadline: Option<Instant>) -> Sent {
        match self {
            Self::Direct(client) => client.send(request, deadline),
            Self::Layered(delivery, _) | Self::Own(delivery) => {
                // Layers are arbitrary services, so the deadline can reach the client
                // only in the request's extensions.
                if let Some(end) = deadline {
                    request.extensions_mut().insert(Deadline(end));
                }
                Box::pin(delivery.oneshot(request))
            }
        }
    }

    /// Looks after the idle connections for as long as it is polled.
    pub(crate) async fn watch(&mut self) {
        let (Self::Direct(client) | Self::Layered(_, client)) = self else {
            return std::future::pending().await;
        };
        std::future::poll_fn(|cx| {
            client.poll_idle(cx);
            Poll::Pending
        })
        .await
    }
}

/// The client as the service that layers wrap.
pub(super) fn delivery(client: Arc<dyn Client>) -> Delivery {
    Delivery::new(service_fn(move |request: Request<Bytes>| {
        let deadline = request.extensions().get().map(|Deadline(end)| *end);
        client.clone().send(request, deadline)
    }))
}
