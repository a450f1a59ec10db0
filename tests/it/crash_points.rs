//! A job that crashes at any of its fail points, once or again and again, leaves in the end what a job
//! leaves that was never interrupted, and reads little twice.
//!
//! `CRASH_TRIALS` is how many jobs crash several times, `CRASH_SEED` decides where.

use std::time::Duration;

use common::fail_point::FailPoint;
use reqwest::Method;
use serde_json::json;
use stripe_sim::{AccountConfig, NewCharge};
use tests::crashing::{Course, Trials, count};
use tests::random::{Random, size};
use tests::world::{World, WorldBuilder, unlimited_account};

/// Three pages, the last of them not full.
const CHARGES: u64 = 230;
/// Few enough that the aggregates are no more than a few commits.
const DAYS: u32 = 40;
/// What one crash of a full job may make it read again: a commit takes up to 12 pages, the readers are up to
/// 16 ahead, and what is in flight.
const READ_AGAIN_AT_MOST: u64 = 12 + 16 + UNDER_WAY;
/// Requests that the engine has in flight at most, over all lists and ranges.
const UNDER_WAY: u64 = 32;
/// Fail points of a full job that come after everything was read: both sides of the last commit at least.
const FAIL_POINTS_AFTER_READING: usize = 2;

fn world(charges: u64) -> WorldBuilder {
    World::builder().consumers(0).account(AccountConfig {
        days: DAYS,
        ..unlimited_account(charges)
    })
}

/// Checks what a crash cost, against the same job without one.
fn assert_read_again_little(course: &Course, undisturbed: &Course, of: &str) {
    let again = course.requests.saturating_sub(undisturbed.requests);
    let crashes = course.crashes as u64;
    let taken = course.answered_before_crashes() + crashes * UNDER_WAY;
    assert!(
        again <= taken,
        "{again} requests again and {taken} lost: {of}"
    );
    let bound = crashes * READ_AGAIN_AT_MOST;
    assert!(
        again <= bound,
        "{again} requests again, not {bound} at most: {of}"
    );
}

#[tokio::test]
async fn a_full_job_that_crashes_at_any_fail_point_ends_as_if_it_had_not() {
    let mut trials = Trials::in_world(world(CHARGES).start().await);
    let begin = trials.connect("acme").await;
    let undisturbed = trials.run(begin).await;
    trials.world.assert_exact().await;
    let mut had_read_all = 0;
    for number in 1.. {
        let organization = format!("crashed-at-{number}");
        let begin = trials.connect(&organization).await;
        let course = trials.run_crashing(begin, &[number], || ()).await;
        let after = format!("a crash at fail point {number}: {:?}", course.passed);
        trials.assert_same(&organization, "acme", &after).await;
        assert_read_again_little(&course, &undisturbed, &after);
        if course.crashes == 0 {
            break;
        }
        if course.had_read_all > 0 {
            had_read_all += 1;
            assert_eq!(
                course.requests, undisturbed.requests,
                "nothing again after {after}"
            );
        }
    }
    assert!(
        had_read_all >= FAIL_POINTS_AFTER_READING,
        "only {had_read_all} crashes came after everything was read"
    );
    let answers = count(&undisturbed.passed[0], FailPoint::Answered);
    assert!(answers as u64 >= CHARGES / 100, "every page is one");
    println!("{} crashes", trials.crashes);
    assert!(trials.crashes >= 15, "only {} crashes", trials.crashes);
}

const CHANGES: u64 = 40;
const CHANGES_SEED: u64 = 5;

#[tokio::test]
async fn an_incremental_job_that_crashes_at_any_fail_point_ends_as_if_it_had_not() {
    let mut trials = Trials::in_world(world(CHARGES).start().await);
    // Whoever is to crash is synced before the changes, so it must be known how many that takes.
    let fail_points = fail_points_of_an_incremental_job().await;
    let crashing: Vec<String> = (1..=fail_points)
        .map(|number| format!("crashed-at-{number}"))
        .collect();
    for organization in ["acme"]
        .into_iter()
        .chain(crashing.iter().map(String::as_str))
    {
        let begin = trials.connect(organization).await;
        trials.run(begin).await;
    }
    trials.world.account().churn(CHANGES, CHANGES_SEED);
    let undisturbed = trials.run(trials.sync("acme")).await;
    trials.world.assert_exact().await;
    for (organization, number) in crashing.iter().zip(1..) {
        let begin = trials.sync(organization);
        let course = trials.run_crashing(begin, &[number], || ()).await;
        let after = format!("a crash at fail point {number}: {:?}", course.passed);
        trials.assert_same(organization, "acme", &after).await;
        assert_read_again_little(&course, &undisturbed, &after);
    }
    println!("{} crashes", trials.crashes);
    assert!(
        trials.crashes >= fail_points * 9 / 10,
        "only {} crashes at {fail_points} fail points",
        trials.crashes
    );
}

/// How many fail points the same job passes in a world of its own.
async fn fail_points_of_an_incremental_job() -> usize {
    let mut trials = Trials::in_world(world(CHARGES).start().await);
    let begin = trials.connect("acme").await;
    trials.run(begin).await;
    trials.world.account().churn(CHANGES, CHANGES_SEED);
    trials.run(trials.sync("acme")).await.passed[0].len()
}

#[tokio::test]
async fn jobs_on_stored_rows_that_crash_at_any_fail_point_end_as_if_they_had_not() {
    let mut trials = Trials::in_world(world(60).start().await);
    let jobs = |trials: &Trials, organization: &str| {
        let rule = json!({"name": "no pros", "action": "exclude", "conditions": [
            {"type": "metadata", "metadata_source": "charge", "metadata_key": "tier", "operator": "equals", "value": "pro"}]});
        let zone = json!({"timezone": "Pacific/Kiritimati"});
        [
            trials.change(organization, Method::POST, "/filters", Some(rule)),
            trials.change(organization, Method::PATCH, "", Some(zone)),
            trials.change(organization, Method::DELETE, "", None),
        ]
    };
    for number in 1.. {
        let (steady, unsteady) = (format!("steady-{number}"), format!("crashed-at-{number}"));
        for organization in [&steady, &unsteady] {
            let begin = trials.connect(organization).await;
            trials.run(begin).await;
        }
        let crashes_before = trials.crashes;
        let both = jobs(&trials, &steady)
            .into_iter()
            .zip(jobs(&trials, &unsteady));
        for (begin, begin_crashing) in both {
            trials.run(begin).await;
            let course = trials.run_crashing(begin_crashing, &[number], || ()).await;
            let after = format!("a crash at fail point {number}: {:?}", course.passed);
            trials.assert_same(&unsteady, &steady, &after).await;
        }
        if trials.crashes == crashes_before {
            break;
        }
    }
    println!("{} crashes", trials.crashes);
    assert!(trials.crashes >= 15, "only {} crashes", trials.crashes);
}

/// One change of a charge, or a new one, while nobody looks.
fn change_something(trials: &stripe_sim::AccountHandle, draws: &mut Random) {
    let tier = *draws.pick(&["free", "pro", "gold"]);
    let metadata = [("tier".to_owned(), Some(tier.to_owned()))].into();
    let charges = trials.examples(CHARGES as usize)["succeeded"].clone();
    let charge = draws.pick(&charges);
    let made = match draws.below(3) {
        0 => trials.set_charge_metadata(charge, &metadata),
        1 => trials.refund(charge, Some(1)).map(drop),
        _ => trials.create_charge(&NewCharge::of(700, "usd")).map(drop),
    };
    made.expect("the charge allows it");
}

#[tokio::test]
async fn jobs_that_crash_again_and_again_while_charges_change_miss_no_change() {
    let mut draws = Random::of_variable("CRASH_SEED", 1);
    let jobs = size("CRASH_TRIALS", 10, 32);
    // Events are there at once, and none is read a second time to make up for one that was missed.
    let world = world(CHARGES).event_lag(Duration::ZERO).start().await;
    let account = world.account();
    let mut trials = Trials::in_world(world);
    let begin = trials.connect("acme").await;
    let mut fail_points = trials.run(begin).await.passed[0].len();
    for trial in 0..jobs {
        let organization = format!("trial-{trial}");
        let mut last = usize::MAX;
        for full in [true, false] {
            let crash_at: Vec<usize> = (0..4).map(|_| 1 + draws.below(fail_points)).collect();
            let begin = if full {
                trials.connect(&organization).await
            } else {
                for _ in 0..8 {
                    change_something(&account, &mut draws);
                }
                trials.sync(&organization)
            };
            let course = trials
                .run_crashing(begin, &crash_at, || change_something(&account, &mut draws))
                .await;
            last = course.crashes;
        }
        // What was changed during the last job is in the next one, as it is for any other connection.
        trials.run(trials.sync(&organization)).await;
        fail_points = trials.run(trials.sync("acme")).await.passed[0]
            .len()
            .clamp(8, 60);
        let after = format!("trial {trial}, whose last job crashed {last} times");
        trials.assert_same(&organization, "acme", &after).await;
    }
    trials.world.assert_exact().await;
    println!("{} crashes", trials.crashes);
    assert!(
        trials.crashes as u64 >= jobs * 2,
        "only {} crashes",
        trials.crashes
    );
}
