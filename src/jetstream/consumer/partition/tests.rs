use super::*;

const WAIT: Duration = Duration::from_secs(10);

struct Stage {
    partition: Partition<()>,
    now: Instant,
    number: u64,
}

impl Stage {
    fn new(pins: bool) -> Self {
        let now = Instant::now();
        Self {
            partition: Partition::new(WAIT, pins, now),
            now,
            number: 0,
        }
    }

    fn deliver(&mut self, sequence: u64, pin: &str) -> Vec<Action> {
        self.number += 1;
        let delivered = Delivered {
            sequence,
            number: self.number,
            pin: Some(pin.into()),
            came: self.now,
            message: (),
        };
        self.partition.delivered(self.now, delivered, |_, ()| {});
        self.act()
    }

    fn act(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.partition.act(self.now, &mut actions);
        actions
    }

    fn answer(&mut self, delivered: u64, pending: usize) -> Vec<Action> {
        let progress = Progress { delivered, pending };
        self.partition.answered(self.now, progress);
        self.act()
    }

    fn after(&mut self, millis: u64) -> Vec<Action> {
        self.now += Duration::from_millis(millis);
        self.act()
    }

    /// A stage with the pin, and these events admitted.
    fn open(sequences: std::ops::RangeInclusive<u64>) -> Self {
        let mut stage = Self::new(true);
        stage.deliver(*sequences.start(), "p");
        stage.answer(*sequences.start(), 1);
        for sequence in sequences.clone().skip(1) {
            assert_eq!(stage.deliver(sequence, "p"), [Action::Admit(sequence)]);
        }
        assert_eq!(
            stage.partition.admitted() as u64,
            sequences.end() - sequences.start() + 1
        );
        stage
    }
}

#[test]
fn a_new_pin_opens_when_all_that_is_pending_is_held_and_in_order() {
    let mut stage = Stage::new(true);
    assert_eq!(stage.deliver(9, "p"), [Action::Ask]);
    assert_eq!(stage.answer(9, 3), []);
    assert_eq!(stage.deliver(5, "p"), []);
    // Newer than what the server had delivered: it does not count.
    assert_eq!(stage.deliver(10, "p"), []);
    let admitted = stage.deliver(7, "p");
    assert_eq!(admitted, [5, 7, 9, 10].map(Action::Admit));
    assert!(stage.partition.is_open());
    assert_eq!(stage.deliver(11, "p"), [Action::Admit(11)]);
    // Each once.
    assert_eq!(stage.deliver(11, "p"), []);
}

#[test]
fn another_pin_shuts_the_gate_until_what_was_admitted_has_come_back() {
    let mut stage = Stage::open(1..=3);
    let lease = stage.partition.lease().clone();
    assert!(lease.is_valid(stage.now));
    assert_eq!(stage.deliver(4, "q"), [Action::Revoke]);
    assert!(!lease.is_valid(stage.now));
    assert_eq!(stage.answer(4, 4), []);
    stage.partition.settled(stage.now, 1);
    // It came under the last pin, and another worker may have it by now.
    stage.partition.returned(2);
    // It has come under this one too.
    assert_eq!(stage.deliver(3, "q"), [Action::Acknowledge(1)]);
    stage.partition.returned(3);
    // The acknowledgement of 1 may or may not be counted.
    assert_eq!(stage.answer(4, 3), []);
    stage.partition.acknowledged(1);
    assert_eq!(stage.act(), [Action::Ask]);
    assert_eq!(stage.answer(4, 3), []);
    assert_eq!(stage.deliver(2, "q"), [2, 3, 4].map(Action::Admit));
}

#[test]
fn a_delivery_that_is_missing_shuts_the_gate() {
    let mut stage = Stage::open(1..=1);
    stage.number += 1;
    assert_eq!(stage.deliver(3, "p"), [Action::Revoke]);
    stage.partition.returned(1);
    assert_eq!(stage.act(), [Action::Ask]);
    assert_eq!(stage.answer(3, 3), []);
    assert_eq!(stage.deliver(2, "p"), []);
    assert_eq!(stage.deliver(1, "p"), [1, 2, 3].map(Action::Admit));
}

/// Held are 3, 5 and 9, the server waits for 5, 7 and 9: as many, and not the same.
#[test]
fn a_late_acknowledgement_of_an_earlier_worker_does_not_open_the_gate() {
    let mut stage = Stage::new(true);
    assert_eq!(stage.deliver(9, "p"), [Action::Ask]);
    assert_eq!(stage.answer(9, 4), []);
    for sequence in [3, 5, 10] {
        assert_eq!(stage.deliver(sequence, "p"), []);
    }
    // It has acknowledged 3.
    assert_eq!(stage.answer(10, 4), []);
    assert!(!stage.partition.is_open());
    assert_eq!(stage.partition.len(), 0);
    stage.after(1);
    for sequence in [10, 9, 5] {
        stage.deliver(sequence, "p");
    }
    assert_eq!(stage.answer(10, 4), []);
    let admitted = stage.deliver(7, "p");
    assert_eq!(admitted, [5, 7, 9, 10].map(Action::Admit));
}

#[test]
fn an_event_is_dropped_without_confirmed_progress() {
    let mut stage = Stage::open(1..=2);
    let lease = stage.partition.lease().clone();
    let told = [1, 2].map(Action::Progress);
    assert_eq!(stage.after(2499), []);
    assert_eq!(stage.after(1), told);
    // Not confirmed: again after half the time.
    assert_eq!(stage.after(1250), told);
    stage.partition.progressed(1, stage.now);
    assert_eq!(stage.after(1250), [Action::Progress(2)]);
    stage.after(2999);
    assert!(lease.is_valid(stage.now));
    // 2 came 8 s ago. 1 must wait for it.
    let actions = stage.after(1);
    assert!(actions.contains(&Action::Revoke), "{actions:?}");
    assert!(!lease.is_valid(stage.now));
    // Delivered all the same: it is remembered, and 1 waits until 2 is told.
    stage.partition.returned(1);
    stage.partition.settled(stage.now, 2);
    let actions = stage.act();
    assert!(
        !actions.contains(&Action::Acknowledge(2)),
        "its lease is over: {actions:?}"
    );
    let actions = stage.deliver(2, "p");
    assert!(actions.contains(&Action::Acknowledge(2)), "{actions:?}");
    stage.partition.acknowledged(2);
    stage.after(500);
    assert_eq!(stage.answer(2, 1), []);
    assert_eq!(stage.deliver(1, "p"), [Action::Admit(1)]);
}

#[test]
fn what_came_while_the_process_was_stopped_may_be_old() {
    let mut stage = Stage::open(1..=1);
    let came = stage.now;
    stage.now += WAIT;
    let delivered = Delivered {
        sequence: 2,
        number: 2,
        pin: Some("p".into()),
        came,
        message: (),
    };
    stage.partition.delivered(stage.now, delivered, |_, ()| {});
    let actions = stage.act();
    assert!(!actions.contains(&Action::Admit(2)), "{actions:?}");
    assert!(actions.contains(&Action::Revoke), "{actions:?}");
}

#[test]
fn a_count_that_never_fits_is_given_up() {
    let mut stage = Stage::new(true);
    stage.deliver(1, "p");
    stage.answer(1, 0);
    assert!(!stage.partition.is_open());
    for _ in 0..10 {
        stage.after(2000);
        stage.partition.progressed(1, stage.now);
    }
    assert!(stage.partition.message(1).is_none());
    stage.after(500);
    stage.answer(1, 0);
    assert!(stage.partition.is_open());
}

#[test]
fn a_worker_that_lost_its_pin_admits_nothing_and_keeps_nothing() {
    let mut stage = Stage::open(1..=2);
    stage.partition.lost_pin();
    assert_eq!(stage.partition.pin(), None);
    // Nobody is told of progress, so that the other worker gets the events.
    assert_eq!(stage.after(3000), []);
    assert_eq!(stage.after(5000), [Action::Revoke]);
    stage.partition.returned(1);
    stage.partition.returned(2);
    assert!(stage.partition.message(1).is_none() && stage.partition.message(2).is_none());
    assert_eq!(stage.deliver(3, "q"), [Action::Ask]);
}

#[test]
fn a_partition_is_left_when_all_has_come_back_and_is_acknowledged() {
    let mut stage = Stage::open(1..=3);
    let lease = stage.partition.lease().clone();
    stage.partition.leave(stage.now);
    assert!(!lease.is_valid(stage.now));
    assert_eq!(stage.act(), [Action::Revoke]);
    stage.partition.settled(stage.now, 1);
    stage.partition.returned(2);
    assert_eq!(stage.act(), [Action::Acknowledge(1)]);
    stage.partition.returned(3);
    assert!(!stage.partition.has_left(stage.now));
    stage.partition.acknowledged(1);
    assert!(stage.partition.has_left(stage.now));
    // What is not delivered is given back, unless another worker may have it.
    assert_eq!(stage.partition.abandon(stage.now).len(), 2);
    assert_eq!(stage.act(), []);

    let mut late = Stage::open(1..=1);
    late.partition.leave(late.now);
    late.act();
    late.partition.returned(1);
    assert_eq!(late.partition.abandon(late.now + WAIT).len(), 0);
}

#[test]
fn without_pins_there_is_no_gate_and_the_same_lease() {
    let mut stage = Stage::new(false);
    assert_eq!(stage.deliver(4, ""), [Action::Admit(4)]);
    let lease = stage.partition.lease().clone();
    stage.after(8000);
    assert!(!lease.is_valid(stage.now));
    stage.partition.returned(4);
    assert_eq!(stage.deliver(4, ""), [Action::Admit(4)]);
    assert!(stage.partition.lease().is_valid(stage.now));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut stage = Stage::open(1..=1);
    for sequence in 2..3000 {
        stage.deliver(sequence, "p");
        stage.partition.settled(stage.now, sequence);
    }
    assert!(stage.partition.held.len() <= REMEMBERED);
}
