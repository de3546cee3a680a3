//! A client in place of the HTTP client, and layers around it: [`CustomClient`], [`Wrap`].

use std::sync::{Arc, Mutex, PoisonError};

use super::delivery::Delivery;

/// A layer around an endpoint's delivery.
pub(super) type Wrap = Arc<dyn Fn(Delivery) -> Delivery + Send + Sync>;

/// A client set with [`Endpoint::client`](super::Endpoint::client). In a mutex, because clients need not be `Sync`,
/// but endpoints are.
#[derive(Clone)]
pub(super) struct CustomClient(Arc<Mutex<Delivery>>);

impl CustomClient {
    pub(super) fn new(delivery: Delivery) -> Self {
        Self(Arc::new(Mutex::new(delivery)))
    }

    pub(super) fn delivery(&self) -> Delivery {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
