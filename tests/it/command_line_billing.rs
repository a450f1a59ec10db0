//! Plans and billing from the command line: subscribing by a link, what is had and paid, changing, cancelling, and the API key.

use stripe_sim::BillingHandle;
use tests::shell::Shell;
use tests::sold_plans::{built_in, sell};
use tests::world::World;

use crate::command_line_client::{assert_speaks_of_commands, shell_of};

async fn reported(shell: &Shell, line: &str, code: i32, words: &[&str]) {
    let ran = shell.run(line, code).await.says(words);
    assert_speaks_of_commands(&format!("{line}\n{}{}", ran.out, ran.err));
}

async fn selling() -> (World, Shell, BillingHandle) {
    let world = World::with_charges(0)
        .selling(built_in())
        .consumers(0)
        .start()
        .await;
    let billing = world.account().billing();
    sell(&billing);
    let shell = shell_of(&world);
    (world, shell, billing)
}

fn pay(billing: &BillingHandle) {
    let sessions = billing.truth().sessions;
    let session = &sessions.last().unwrap().id;
    billing.pay_checkout(session, "pm_card_visa").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_subscribed_to_changed_and_cancelled() {
    let (_world, shell, billing) = selling().await;
    let plans = ["pro", "9.00 USD", "490.00 USD", "14 days", "any number"];
    reported(&shell, "billing plans", 0, &plans).await;
    let none = ["plan free: none", "0 of 1", "billing checkout"];
    reported(&shell, "billing status", 0, &none).await;
    let nothing = "billing change --seats 2 --yes";
    reported(&shell, nothing, 1, &["no subscription to change"]).await;
    let opened = ["subscribe on this page of Stripe's", "http"];
    reported(&shell, "billing checkout scale", 0, &opened).await;
    let again = ["the same page is open already"];
    reported(&shell, "billing checkout scale", 0, &again).await;
    pay(&billing);
    let paid = ["plan scale: active", "by the month, 1 seat", "visa 4242"];
    reported(&shell, "billing sync", 0, &paid).await;
    let second = ["(subscription_exists)", "`stripe-sync billing change`"];
    reported(&shell, "billing checkout pro", 1, &second).await;

    let cost = ["nothing is changed yet", "due now", "98.00 USD"];
    reported(&shell, "billing change --seats 2 --preview", 0, &cost).await;
    let asks = ["now, and charge", "add --yes"];
    reported(&shell, "billing change --seats 2", 2, &asks).await;
    let line = "billing change --seats 2 --yes";
    reported(&shell, line, 0, &["by the month, 2 seats"]).await;
    let line = "billing change pro --seats 1 --yes";
    reported(&shell, line, 0, &["changes to", "pro, by the month"]).await;
    let line = "billing cancel --feedback unused";
    reported(&shell, line, 2, &["add --yes"]).await;
    let line = "billing cancel --feedback unused --yes";
    reported(&shell, line, 0, &["ends"]).await;
    reported(&shell, "billing resume", 0, &["plan scale: active"]).await;
    let line = "billing cancel --now --yes";
    reported(&shell, line, 0, &["plan free: canceled"]).await;
    reported(&shell, "billing resume", 1, &["(conflict)"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_paid_is_listed_and_the_portal_is_a_link() {
    let (_world, shell, billing) = selling().await;
    reported(&shell, "billing invoices", 0, &["no invoices found"]).await;
    reported(&shell, "billing payments", 0, &["no payments found"]).await;
    shell.run("billing checkout scale", 0).await;
    pay(&billing);
    shell.run("billing sync", 0).await;
    reported(&shell, "billing invoices", 0, &["paid", "49.00 USD"]).await;
    reported(&shell, "billing payments", 0, &["succeeded", "49.00 USD"]).await;
    let said = ["open this page of Stripe's", "http"];
    let line = "billing portal --flow payment_method_update";
    reported(&shell, line, 0, &said).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_printed_alone_and_once() {
    let (_world, mut shell, billing) = selling().await;
    let none = ["no API key", "(conflict)"];
    reported(&shell, "billing reveal-key", 1, &none).await;
    shell.run("billing checkout scale", 0).await;
    pay(&billing);
    shell.run("billing sync", 0).await;
    let first = shell.run("billing reveal-key", 0).await;
    let key = first.out.trim();
    assert!(
        key.starts_with("sst_") && !key.contains(char::is_whitespace),
        "{first:?}"
    );
    let again = ["(already_revealed)", "`stripe-sync billing roll-key`"];
    reported(&shell, "billing reveal-key", 1, &again).await;
    reported(&shell, "billing roll-key", 2, &["add --yes"]).await;
    let rolled = shell.run("billing roll-key --yes", 0).await;
    assert_ne!(rolled.out.trim(), key);
    for (key, code, said) in [
        (key, 1, "(unauthenticated)"),
        (rolled.out.trim(), 0, "plan scale: active"),
    ] {
        shell.set("STRIPE_SYNC_TOKEN", key);
        reported(&shell, "billing status", code, &[said]).await;
    }
}
