//! The methods of [`Endpoint`] that wrap or replace its HTTP client.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::{BoxError, Layer, Service};

use super::custom_client::CustomClient;
use super::delivery::{Delivery, of_client};
use super::endpoint::Endpoint;

/// # Layers and client
impl Endpoint {
    /// Wraps the delivery of each request in a layer. A layer of a later call is
    /// outside those of earlier ones. All are inside the attempt's timeout and around
    /// the [`client`](Self::client): their response counts as the receiver's, and an
    /// error or panic fails the attempt.
    ///
    /// A header for every request, and at most four requests at a time:
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::{HeaderValue, Request};
    /// use tower::ServiceBuilder;
    /// use tower_registry_notifications::Endpoint;
    ///
    /// let region = HeaderValue::from_static("eu-1");
    /// let layer = ServiceBuilder::new()
    ///     .concurrency_limit(4)
    ///     .map_request(move |mut request: Request<Bytes>| {
    ///         request.headers_mut().insert("x-region", region.clone());
    ///         request
    ///     });
    /// let endpoint = Endpoint::new("ci", "https://ci.example.com/events").layer(layer);
    /// # let _ = endpoint;
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Delivery> + Send + Sync + 'static,
        L::Service: Service<Request<Bytes>, Response = Response<Bytes>, Error: Into<BoxError>>,
        L::Service: Clone + Send + 'static,
        <L::Service as Service<Request<Bytes>>>::Future: Send,
    {
        let wrap = move |delivery| {
            let wrapped = layer.layer(delivery);
            Delivery::new(tower::ServiceExt::map_err(wrapped, Into::into))
        };
        self.layers.push(Arc::new(wrap));
        self
    }

    /// Replaces the HTTP client. The endpoint keeps timeout, retries and the meaning of
    /// statuses. The client must not follow redirects, and decides itself which
    /// certificates to trust and which addresses to connect to.
    pub fn client<S, R>(mut self, client: S) -> Self
    where
        S: Service<Request<Bytes>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.client = Some(CustomClient::new(of_client(client)));
        self
    }
}
