//! Handles the server's answers to the questions of a worker.

use async_nats::{Message, StatusCode};
use tokio::time::Instant;

use super::slot::{Phase, Slot};
use super::wire::{self, Question};

/// Handles a status, which comes instead of an answer.
pub(super) fn status_of(
    slot: &mut Slot,
    now: Instant,
    question: Question,
    status: StatusCode,
    message: &Message,
) {
    if question != Question::Messages {
        return;
    }
    match status {
        StatusCode::IDLE_HEARTBEAT => slot.poll.note_alive(now),
        StatusCode::PIN_ID_MISMATCH => {
            slot.partition.lost_pin();
            slot.poll.ended();
        }
        // It expired, or brought all that it may.
        StatusCode::TIMEOUT | StatusCode::NOT_FOUND => slot.poll.ended(),
        _ if slot.poll.failed(now) => {
            let description = message.description.as_deref().unwrap_or_default();
            tracing::error!(
                consumer = slot.consumer,
                status = %status,
                description,
                "JetStream delivers nothing of a partition to an endpoint: if the stream or the \
                 consumer was removed, start the workers anew"
            );
        }
        _ => {}
    }
}

/// Handles the answer to a question about a partition.
pub(super) fn answer(slot: &mut Slot, base: Instant, question: Question, payload: &[u8]) {
    match question {
        Question::Messages => {}
        Question::Info(asked) => {
            if let Some((progress, left)) = wire::read_info(payload) {
                slot.left = left;
                slot.partition.answered(base + asked, progress);
            }
        }
        Question::Progress(sequence, told) => slot.partition.progressed(sequence, base + told),
        Question::End(sequence) => slot.partition.acknowledged(sequence),
        Question::Unpin => {
            if let Phase::Unpinning { .. } = slot.phase {
                slot.phase = Phase::Leaving;
                slot.partition.lost_pin();
            }
        }
    }
}
