//! An endpoint that comes later and starts with the oldest event that is kept.

use std::time::Duration;

use tokio::time::sleep;

use super::stage::{Receiver, Stage};
use crate::journal::tests::SimulatedDisk;
use crate::journal::{Journal, JournalOptions};
use crate::sink::Filter;

fn kept() -> JournalOptions {
    Journal::options().retention(Duration::from_secs(24 * 3600))
}

fn tags(receiver: &Receiver) -> Vec<u64> {
    let accepted = receiver.accepted.lock().unwrap();
    accepted.iter().map(|it| it.tag.parse().unwrap()).collect()
}

/// Whether `Events` = `Successes` + dead letters + pending.
fn adds_up(stage: &Stage) -> bool {
    stage
        .notifier
        .status()
        .endpoints
        .iter()
        .all(|it| it.events == it.successes + it.dead_letters + it.pending)
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_later_gets_what_its_filter_wants_of_all_that_is_kept() {
    let disk = SimulatedDisk::default();
    let (first, late) = (Receiver::answering(200), Receiver::answering(503));
    let stage = Stage::new(&disk, kept(), |it| it.endpoint(first.endpoint()));
    for tag in 0..70 {
        stage.write(tag).await;
    }
    stage.drained().await;
    stage.notifier.shutdown(Duration::from_secs(9)).await;
    drop(stage);

    let start = |oldest| {
        let wanted = Filter::new().include_repositories(["r1", "r2"]);
        let late = late.endpoint_named("late").filter(wanted);
        // Less than what waits.
        let late = late.queue_events(4).concurrency(2);
        let options = kept().start_from_oldest(oldest);
        Stage::new(&disk, options, |it| {
            it.endpoint(first.endpoint()).endpoint(late)
        })
    };
    let stage = start(true);
    stage.write(71).await;
    sleep(Duration::from_secs(60)).await;
    assert!(adds_up(&stage), "{:#?}", stage.notifier.status());
    stage.notifier.shutdown(Duration::ZERO).await;
    drop(stage);

    // It is known now: what it has not settled still waits for it, and no more.
    late.answer(200);
    let stage = start(false);
    stage.write(72).await;
    for _ in 0..1_000 {
        sleep(Duration::from_secs(1)).await;
        if tags(&late).contains(&71) {
            break;
        }
    }
    stage.drained().await;
    assert!(adds_up(&stage), "{:#?}", stage.notifier.status());
    let expected: Vec<u64> = (0..72).filter(|it| [1, 2].contains(&(it % 7))).collect();
    let mut got = tags(&late);
    for repository in [1, 2] {
        let own =
            |tags: &[u64]| Vec::from_iter(tags.iter().copied().filter(|it| it % 7 == repository));
        assert_eq!(
            own(&got),
            [own(&expected), own(&[72])].concat(),
            "r{repository}"
        );
    }
    got.sort_unstable();
    assert_eq!(got, [expected, vec![72]].concat());
    // The first one gets nothing again.
    assert_eq!(tags(&first).len(), 72);
    stage.journal.flush().await.unwrap();
    let status = stage.journal.status();
    assert!(
        status.endpoints.iter().all(|it| it.waiting == 0),
        "{status:#?}"
    );
}
