//! The end of an endpoint.

use async_nats::jetstream;
use futures_util::TryStreamExt as _;

use super::connection;
use super::consumer::endpoint_of;
use super::error::JetStreamError;
use super::patience::no_answer;
use super::settings::JetStream;
use super::stream;

impl JetStream {
    /// Removes the consumers of an endpoint that has no worker any more, and returns how
    /// many there were. Until then they keep events in the stream for it. What the
    /// endpoint does not have yet, it never gets; if a worker has it again, it begins
    /// with the oldest event of the stream.
    ///
    /// # Errors
    ///
    /// Fails like [`sink`](Self::sink).
    pub async fn remove_endpoint(&self, name: &str) -> Result<usize, JetStreamError> {
        let settings = self.checked()?;
        let client = connection::connect(settings).await?;
        let found = stream::ensure(&client, settings).await?;
        let context = jetstream::new(client);
        let stream = context.get_stream(&found).await.map_err(no_answer)?;
        let names = stream.consumer_names().try_collect::<Vec<_>>().await;
        let is_own = |consumer: &String| endpoint_of(consumer).is_some_and(|(it, _)| it == name);
        let mut removed = 0;
        for consumer in names.map_err(no_answer)?.iter().filter(|it| is_own(it)) {
            stream.delete_consumer(consumer).await.map_err(no_answer)?;
            removed += 1;
        }
        Ok(removed)
    }
}
