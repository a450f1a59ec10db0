//! Wake-ups through a real RabbitMQ and a real PostgreSQL, through restarts of both.

use std::collections::HashSet;
use std::time::Duration;

use common::broker::{
    Broker, Delivery, LinkState, PostgresBroker, RabbitBroker, Subscription, Wakeup,
};
use common::clock::{Clock as _, SystemClock, new_id};
use common::db::Role;
use common::job::{JobId, JobRef};
use lapin::options::{BasicGetOptions, BasicPublishOptions, QueuePurgeOptions};
use tests::database::TestDatabase;
use tests::servers::{PrivateServer, shared_amqp_url};

/// How long anything may take on a busy machine.
const WAIT_TIMEOUT: Duration = Duration::from_mins(1);

/// How long nothing must happen before a test believes that nothing will.
const QUIET: Duration = Duration::from_millis(500);

fn jobs(count: usize) -> Vec<JobRef> {
    let organization_id: common::tenant::OrganizationId = "acme".parse().unwrap();
    (0..count)
        .map(|_| JobRef {
            organization_id: organization_id.clone(),
            job_id: JobId(new_id(SystemClock.now())),
        })
        .collect()
}

fn prefix() -> String {
    format!("test_{}", new_id(SystemClock.now()).simple())
}

fn rabbit(url: &str, prefix: &str) -> RabbitBroker {
    common::lifecycle::prepare_process();
    RabbitBroker::connect(&url.to_owned().into(), prefix).unwrap()
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Delivery {
    match tokio::time::timeout(WAIT_TIMEOUT, subscription.next())
        .await
        .expect("a wake-up")
        .unwrap()
    {
        Wakeup::Job(delivery) => delivery,
        Wakeup::Any => panic!("RabbitMQ names the job"),
    }
}

async fn assert_quiet(subscription: &mut Box<dyn Subscription>) {
    let wakeup = tokio::time::timeout(QUIET, subscription.next()).await;
    assert!(wakeup.is_err(), "{wakeup:?}");
}

async fn until_link(broker: &RabbitBroker, wanted: LinkState) {
    let reached = async {
        while broker.link() != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, reached)
        .await
        .expect("the link changes");
}

/// Publishes until it works, as callers do with the dispatcher's help.
async fn publish_at_last(broker: &RabbitBroker, jobs: &[JobRef]) {
    let published = async {
        while broker.publish(jobs).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, published)
        .await
        .expect("publishing works again");
}

#[tokio::test]
async fn at_most_as_many_jobs_as_slots_are_handed_out() {
    let broker = rabbit(&shared_amqp_url(), &prefix());
    let sent = jobs(5);
    publish_at_last(&broker, &sent).await;
    assert_eq!(broker.backlog().await.unwrap(), Some(5));
    let mut subscription = broker.subscribe(2).await.unwrap();
    let first = next(&mut subscription).await;
    let second = next(&mut subscription).await;
    assert_quiet(&mut subscription).await;
    assert_eq!(broker.backlog().await.unwrap(), Some(3));
    let mut received = vec![first.job.clone(), second.job.clone()];
    first.ack().await.unwrap();
    let third = next(&mut subscription).await;
    assert_quiet(&mut subscription).await;
    received.push(third.job.clone());
    second.ack().await.unwrap();
    third.ack().await.unwrap();
    for _ in 0..2 {
        let delivery = next(&mut subscription).await;
        received.push(delivery.job.clone());
        delivery.ack().await.unwrap();
    }
    assert_eq!(received, sent, "in the order of publishing");
}

#[tokio::test]
async fn unacknowledged_messages_of_a_lost_consumer_are_redelivered() {
    let broker = rabbit(&shared_amqp_url(), &prefix());
    let mut lost = broker.subscribe(8).await.unwrap();
    let sent = jobs(3);
    publish_at_last(&broker, &sent).await;
    next(&mut lost).await.ack().await.unwrap();
    let unacknowledged = next(&mut lost).await;
    drop(lost);
    let mut other = broker.subscribe(8).await.unwrap();
    let mut received = HashSet::new();
    for _ in 0..2 {
        let delivery = next(&mut other).await;
        received.insert(delivery.job.clone());
        delivery.ack().await.unwrap();
    }
    assert_eq!(received, sent[1..].iter().cloned().collect());
    assert_quiet(&mut other).await;
    assert!(
        unacknowledged.ack().await.is_err(),
        "its connection is gone"
    );
}

#[tokio::test]
async fn unknown_messages_are_dead_lettered_without_blocking() {
    let prefix = prefix();
    let broker = rabbit(&shared_amqp_url(), &prefix);
    let mut subscription = broker.subscribe(1).await.unwrap();
    until_link(&broker, LinkState::Up).await;
    let raw =
        lapin::Connection::connect(&shared_amqp_url(), lapin::ConnectionProperties::default())
            .await
            .unwrap();
    let channel = raw.create_channel().await.unwrap();
    let garbage: [&[u8]; 2] = [b"\xff\x00", br#"{"type":"sync_job.v9","job_id":"1"}"#];
    for payload in garbage {
        let exchange = format!("{prefix}.jobs");
        let options = BasicPublishOptions::default();
        let properties = lapin::BasicProperties::default();
        let sent = channel.basic_publish(
            exchange.into(),
            "sync_job".into(),
            options,
            payload,
            properties,
        );
        sent.await.unwrap().await.unwrap();
    }
    let sent = jobs(1);
    broker.publish(&sent).await.unwrap();
    let delivery = next(&mut subscription).await;
    assert_eq!(delivery.job, sent[0]);
    delivery.ack().await.unwrap();
    let mut dead = Vec::new();
    while dead.len() < garbage.len() {
        let queue = format!("{prefix}.jobs.dead");
        let letter = channel
            .basic_get(queue.into(), BasicGetOptions { no_ack: true })
            .await
            .unwrap();
        dead.extend(letter.map(|letter| letter.delivery.data));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(dead, garbage.map(<[u8]>::to_vec));
}

#[tokio::test]
async fn an_emptied_or_deleted_queue_is_made_again() {
    let prefix = prefix();
    let broker = rabbit(&shared_amqp_url(), &prefix);
    publish_at_last(&broker, &jobs(4)).await;
    let raw =
        lapin::Connection::connect(&shared_amqp_url(), lapin::ConnectionProperties::default())
            .await
            .unwrap();
    let channel = raw.create_channel().await.unwrap();
    let queue = format!("{prefix}.jobs");
    channel
        .queue_purge(queue.as_str().into(), QueuePurgeOptions::default())
        .await
        .unwrap();
    assert_eq!(broker.backlog().await.unwrap(), Some(0));
    let mut subscription = broker.subscribe(1).await.unwrap();
    publish_at_last(&broker, &jobs(1)).await;
    next(&mut subscription).await.ack().await.unwrap();

    channel
        .queue_delete(queue.into(), lapin::options::QueueDeleteOptions::default())
        .await
        .unwrap();
    let sent = jobs(1);
    publish_at_last(&broker, &sent).await;
    assert_eq!(next(&mut subscription).await.job, sent[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_delays_and_loses_nothing_that_was_confirmed() {
    let server = PrivateServer::rabbitmq().await;
    let broker = rabbit(&server.url(), &prefix());
    let sent = jobs(3);
    publish_at_last(&broker, &sent[..2]).await;
    let mut subscription = broker.subscribe(1).await.unwrap();
    let held = next(&mut subscription).await;
    assert_eq!(held.job, sent[0]);

    server.kill().await;
    until_link(&broker, LinkState::Down).await;
    let publish = tokio::time::timeout(Duration::from_secs(5), broker.publish(&sent[2..])).await;
    assert!(publish.expect("an answer within five seconds").is_err());

    server.restart().await;
    publish_at_last(&broker, &sent[2..]).await;
    assert_eq!(broker.link(), LinkState::Up);
    let mut received = HashSet::new();
    // A publish that failed may have arrived all the same, and so come twice.
    while received.len() < 3 {
        let delivery = next(&mut subscription).await;
        received.insert(delivery.job.clone());
        // The connection may break once more while the server settles; then it comes again.
        let _ = delivery.ack().await;
    }
    assert_eq!(received, sent.iter().cloned().collect());
}

#[tokio::test]
async fn an_absent_broker_blocks_nothing() {
    let broker = rabbit("amqp://127.0.0.1:1/%2f", &prefix());
    assert_eq!(broker.link(), LinkState::Down);
    let mut subscription = broker.subscribe(1).await.unwrap();
    assert_quiet(&mut subscription).await;
    let publish = tokio::time::timeout(Duration::from_secs(5), broker.publish(&jobs(1))).await;
    assert!(publish.expect("an answer within five seconds").is_err());
}

/// Waits until wake-ups stop coming, so that the next one has a cause.
async fn settle(subscription: &mut Box<dyn Subscription>) {
    while tokio::time::timeout(QUIET, subscription.next())
        .await
        .is_ok()
    {}
}

/// Whether a publish wakes the subscription sooner than its poll would, at least every other time.
async fn wakes(broker: &PostgresBroker, subscription: &mut Box<dyn Subscription>) -> bool {
    let mut woken = 0;
    for _ in 0..4 {
        settle(subscription).await;
        broker.publish(&jobs(1)).await.unwrap();
        let wakeup = tokio::time::timeout(QUIET, subscription.next()).await;
        woken += u8::from(matches!(wakeup, Ok(Ok(Wakeup::Any))));
    }
    woken >= 3
}

#[tokio::test]
async fn notifications_of_postgresql_wake_without_a_broker() {
    let database = TestDatabase::create().await;
    let publisher = PostgresBroker::new(database.pool(Role::Scheduler));
    let consumer = PostgresBroker::new(database.pool(Role::Consumer));
    let mut subscription = consumer.subscribe(8).await.unwrap();
    assert!(wakes(&publisher, &mut subscription).await);

    let killed: i64 = sqlx::query_scalar(
        "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .fetch_one(database.admin())
    .await
    .unwrap();
    assert_eq!(killed, 1);
    let recovered = async { while !wakes(&publisher, &mut subscription).await {} };
    tokio::time::timeout(WAIT_TIMEOUT, recovered)
        .await
        .expect("it listens again");
}
