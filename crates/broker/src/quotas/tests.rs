use metadata::{EntityName, QuotaAlteration, QuotaEntity};

use super::*;
use crate::handlers::fixture::Fixture;

/// Gives all clients quotas.
async fn set(fixture: &Fixture, kind: metadata::EntityKind, quotas: &[(&str, f64)]) {
    let changes = quotas.iter();
    let alteration = QuotaAlteration {
        entity: Ok(QuotaEntity::new([(kind, EntityName::Default)])),
        changes: changes
            .map(|(name, value)| ((*name).to_owned(), Some(*value)))
            .collect(),
    };
    let topics = fixture.topics();
    let outcomes = topics
        .cluster
        .alter_client_quotas(&[alteration], false)
        .await
        .unwrap();
    assert_eq!(outcomes, [Ok(())]);
}

#[tokio::test]
async fn nothing_is_counted_without_a_quota() {
    let fixture = Fixture::new().await;
    let (quotas, context) = (fixture.quotas(), fixture.context(9));
    assert!(!quotas.are_set());
    assert_eq!(quotas.produced(&context, usize::MAX), Duration::ZERO);
    assert_eq!(quotas.fetched(&context, usize::MAX), FetchCharge::Granted);
    assert_eq!(quotas.fetch_bytes_max(&context), usize::MAX);
    assert_eq!(quotas.handled("test", Duration::MAX), Duration::ZERO);
    assert!(quotas.mutations(&context, 6).take(i32::MAX));
    assert_eq!(quotas.connected([10, 0, 0, 1].into()), Duration::ZERO);
    assert!(quotas.state.lock().rates.used.is_empty());
}

#[tokio::test]
async fn a_producer_waits_for_what_it_sent_too_much() {
    let fixture = Fixture::new().await;
    set(
        &fixture,
        metadata::EntityKind::ClientId,
        &[("producer_byte_rate", 1000.0)],
    )
    .await;
    let (quotas, context) = (fixture.quotas(), fixture.context(9));
    // Ten seconds' worth may come at once.
    assert_eq!(quotas.produced(&context, 10_000), Duration::ZERO);
    let throttle = quotas.produced(&context, 5000);
    let expected = Duration::from_secs(5);
    assert!(
        throttle.abs_diff(expected) < Duration::from_millis(500),
        "{throttle:?}"
    );
    // Another client has a quota of its own.
    let other = Context {
        client_id: Some(Arc::from("other")),
        ..context
    };
    assert_eq!(quotas.produced(&other, 10_000), Duration::ZERO);
}

#[tokio::test]
async fn a_fetch_that_is_too_much_does_not_count() {
    let fixture = Fixture::new().await;
    set(
        &fixture,
        metadata::EntityKind::User,
        &[("consumer_byte_rate", 1000.0)],
    )
    .await;
    let (quotas, context) = (fixture.quotas(), fixture.context(9));
    assert_eq!(quotas.fetch_bytes_max(&context), 10_000);
    assert_eq!(quotas.fetched(&context, 9000), FetchCharge::Granted);
    let charge = quotas.fetched(&context, 9000);
    assert!(matches!(charge, FetchCharge::Throttled(_)));
    assert_eq!(quotas.fetched(&context, 900), FetchCharge::Granted);
}

#[tokio::test]
async fn the_time_of_requests_throttles_for_one_sample_at_most() {
    let fixture = Fixture::new().await;
    set(
        &fixture,
        metadata::EntityKind::User,
        &[("request_percentage", 1.0)],
    )
    .await;
    let quotas = fixture.quotas();
    assert_eq!(
        quotas.handled("test", Duration::from_millis(90)),
        Duration::ZERO
    );
    let throttle = quotas.handled("test", Duration::from_secs(10));
    assert_eq!(throttle, Duration::from_secs(1));
}

#[tokio::test]
async fn partitions_above_the_quota_are_refused_or_only_throttled() {
    let fixture = Fixture::new().await;
    set(
        &fixture,
        metadata::EntityKind::User,
        &[("controller_mutation_rate", 1.0)],
    )
    .await;
    let quotas = fixture.quotas();
    let context = fixture.context(6);
    let mut strict = quotas.mutations(&context, 6);
    // Eleven are saved up, and whoever has one may take more.
    assert!(strict.take(10) && strict.take(6));
    assert!(!strict.take(1));
    assert!(
        (4000..=5000).contains(&strict.throttle_ms()),
        "{}",
        strict.throttle_ms()
    );
    let context = fixture.context(5);
    let mut permissive = quotas.mutations(&context, 6);
    assert!(permissive.take(1));
    assert!(permissive.throttle_ms() > 4000);
}

#[tokio::test]
async fn an_address_opens_connections_at_its_rate() {
    let fixture = Fixture::new().await;
    set(
        &fixture,
        metadata::EntityKind::Ip,
        &[("connection_creation_rate", 1.0)],
    )
    .await;
    let quotas = fixture.quotas();
    let connected = || quotas.connected([10, 0, 0, 1].into());
    for _ in 0..10 {
        assert_eq!(connected(), Duration::ZERO);
    }
    assert!(!connected().is_zero());
    assert_eq!(quotas.connected([10, 0, 0, 2].into()), Duration::ZERO);
}

#[test]
fn quiet_clients_are_forgotten() {
    let mut counters: Counters<usize, ()> = Counters::default();
    let at = |seconds| Instant::from_origin(Duration::from_secs(seconds));
    for client in 0..SWEEP_AT {
        counters.get(client, at(0), || ());
    }
    counters.get(SWEEP_AT, at(3599), || ());
    assert_eq!(counters.used.len(), SWEEP_AT + 1);
    counters.sweep_at = SWEEP_AT;
    counters.get(0, at(7000), || ());
    assert_eq!(counters.used.len(), 2);
}

#[test]
fn throttle_times_are_told_in_milliseconds() {
    for (micros, expected) in [(0, 0), (499, 0), (500, 1), (1500, 2), (2_000_000, 2000)] {
        assert_eq!(milliseconds(Duration::from_micros(micros)), expected);
    }
    assert_eq!(milliseconds(Duration::MAX / 2), i32::MAX);
}
