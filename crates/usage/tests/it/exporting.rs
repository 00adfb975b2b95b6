//! What other programs get.

use std::time::Duration;

use loomwork_usage::{
    Account, Book, Currency, Event, EventRow, Exported, Format, Letterhead, Level, Price, Unit, assign,
    credit_note, export, record_all, reverse, set_account, set_book,
};

use super::desk::{Desk, START, money, per_million, small};

impl Desk {
    async fn exported(&self, format: Format) -> String {
        let mut text = String::new();
        let write = |part: &str| {
            text.push_str(part);
            Ok(())
        };
        export(&self.store, format, Exported::default(), Duration::ZERO, write).await.expect("it succeeds");
        text
    }
}

#[tokio::test]
async fn csv_is_safe_to_open_in_a_spreadsheet() {
    let desk = Desk::priced().await;
    let event = desk.event("=1+1", [(Unit::OutputText, 1_000)]);
    let event = event.used_by(Level::User, "@SUM(A1)").used_by(Level::Team, "a, \"b\"\nc").used_by(Level::Org, "-2");
    desk.record(event).await;
    desk.commit(|tx| reverse(tx, "agent", "=1+1")).await;
    let text = desk.exported(Format::Csv).await;
    let (head, rest) = text.split_once("\r\n").unwrap_or_default();
    assert_eq!(
        head,
        "source,key,at,recorded,changed,reverses,payer,org,team,project,user,key,agent,thread,run,provider,model,region,tier,message,step,tool,unit,quantity,cost,cost currency,charge,charge currency,billing,estimated,tags"
    );
    let mut rows = rest.split("\r\n");
    assert_eq!(
        rows.next(),
        Some(
            "agent,'=1+1,2026-08-10T12:00:00.000Z,2026-08-10T12:00:00.000Z,,,weavers,'-2,\"a, \"\"b\"\"\nc\",,'@SUM(A1),,,,,acme,small,,standard,,,,outputText,1000,0.0012,USD,0.0012,USD,billed,no,"
        )
    );
    assert!(rows.next().is_some_and(|row| row.ends_with(",-1000,-0.0012,USD,-0.0012,USD,billed,no,")), "a number is no formula");
}

#[tokio::test]
async fn json_lines_go_on_where_they_stopped() {
    let desk = Desk::priced().await;
    let mut last = Exported::default();
    let mut lines = Vec::new();
    for round in 0..3 {
        let event = |key| desk.event(&format!("{round}-{key}"), [(Unit::OutputText, 1)]);
        let events: Vec<_> = (0..400).map(event).collect();
        desk.commit(move |tx| record_all(tx, events)).await;
        let write = |part: &str| {
            lines.extend(part.lines().map(str::to_owned));
            Ok(())
        };
        last = export(&desk.store, Format::JsonLines, last, Duration::ZERO, write).await.expect("it succeeds");
    }
    assert_eq!(lines.len(), 1_200);
    let keys: std::collections::BTreeSet<_> = lines.iter().map(|line| json(line)["event"]["key"].to_string()).collect();
    assert_eq!(keys.len(), 1_200, "none is missed or repeated");
    assert_eq!(json(&lines[0])["charge"]["amount"], "0.0000012", "amounts are texts");
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn an_export_leaves_out_what_is_younger_than_asked() {
    let desk = Desk::priced().await;
    let minute = Duration::from_secs(60);
    let mut keys = Vec::new();
    let mut write = |part: &str| {
        keys.extend(part.lines().map(|line| json(line)["event"]["key"].as_str().unwrap_or_default().to_owned()));
        Ok(())
    };
    desk.output("one", 1).await;
    desk.clock.advance(minute);
    desk.output("two", 1).await;
    let first = export(&desk.store, Format::JsonLines, Exported::default(), minute, &mut write).await;
    desk.clock.advance(minute);
    desk.output("three", 1).await;
    let first = first.expect("it succeeds");
    export(&desk.store, Format::JsonLines, first, minute, &mut write).await.expect("it succeeds");
    assert_eq!(keys, ["one", "two"]);
}

#[tokio::test]
async fn a_cloud_event_is_told_by_source_and_id() {
    let desk = Desk::priced().await;
    desk.output("one", 5).await;
    let event = json(&desk.exported(Format::CloudEvents).await);
    assert_eq!((&event["specversion"], &event["source"], &event["id"]), (&"1.0".into(), &"agent".into(), &"one".into()));
    assert_eq!(event["type"], "usage.recorded");
    assert_eq!(event["data"]["event"]["quantities"]["outputText"], 5);
}

#[tokio::test]
async fn an_invoice_is_json_csv_and_a_page_that_prints() {
    let desk = Desk::priced().await;
    let used = [(Unit::InputFresh, 2_000_000), (Unit::OutputText, 1_000_000)];
    desk.record(desk.event("one", used)).await;
    desk.record(desk.event("two", [(Unit::OutputText, 1)]).model("acme", "<script>alert(1)</script>")).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let invoice = desk.invoice(START).await;
    let document = desk.document(invoice).await;

    let read = json(&document.to_json().unwrap_or_default());
    assert_eq!((&read["invoice"]["number"], &read["invoice"]["total"]), (&"INV-000001".into(), &"1.8".into()));
    assert_eq!(read["lines"].as_array().map(Vec::len), Some(3));

    let csv = document.to_csv();
    assert!(csv.contains("INV-000001,weavers,2026-08,,acme,small,standard,outputText,1000000,0.0000012,1.2,1.20,USD,"), "{csv}");

    let head = Letterhead { from: vec!["Loom & Co".to_owned()], to: vec!["The weavers".to_owned()], notes: vec!["30 days".to_owned()] };
    let page = document.to_html(&head);
    for part in ["<title>Invoice INV-000001</title>", "Loom &amp; Co", "1.80&nbsp;USD", "@media print", "no price yet", "2026-08-01 00:00 UTC", "Output tokens", "2,000,000", "0.3 per million"] {
        assert!(page.contains(part), "{part} is missing:\n{page}");
    }
    assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "text is never a tag");
}

#[tokio::test]
async fn what_changes_later_is_exported_once_more() {
    let desk = Desk::priced().await;
    let unknown = desk.event("late", [(Unit::OutputText, 1_000_000)]).model("acme", "unknown");
    desk.record(unknown).await;
    desk.record(Event { payer: None, ..desk.event("nobody's", [(Unit::OutputText, 1)]) }).await;
    let mut lines = Vec::new();
    let mut write = |part: &str| {
        lines.extend(part.lines().map(json));
        Ok(())
    };
    let first = export(&desk.store, Format::CloudEvents, Exported::default(), Duration::ZERO, &mut write).await.expect("it succeeds");
    let tasks = desk.keep_up();
    desk.price(Price { model: "unknown".to_owned(), ..small() }).await;
    desk.until(|tx| tx.count(EventRow::unpriced.all()), |left| *left == 0).await;
    drop(tasks);
    desk.commit(|tx| assign(tx, Level::User, "ada", "weavers", "support")).await;
    let second = export(&desk.store, Format::CloudEvents, first, Duration::ZERO, &mut write).await.expect("it succeeds");
    let third = export(&desk.store, Format::CloudEvents, second, Duration::ZERO, &mut write).await.expect("it succeeds");
    assert_eq!(third, second, "nothing is repeated");
    let told: Vec<_> = lines.iter().map(|line| (line["type"].as_str(), line["data"]["event"]["key"].as_str())).collect();
    let (recorded, changed) = (Some("usage.recorded"), Some("usage.changed"));
    let (late, nobodys) = (Some("late"), Some("nobody's"));
    assert_eq!(told, [(recorded, late), (recorded, nobodys), (changed, late), (changed, nobodys)]);
    assert_eq!(lines[2]["data"]["charge"]["amount"], "1.2");
    assert_eq!(lines[3]["subject"], "weavers");
}

#[tokio::test]
async fn a_table_has_each_event_and_each_currency() {
    let desk = Desk::priced().await;
    desk.commit(|tx| {
        set_book(tx, Book::listed("euros", Currency::EUR))?;
        set_account(tx, Account { book: "euros".to_owned(), ..Account::new("weavers") })
    })
    .await;
    desk.price(Price { book: "euros".to_owned(), ..small() }.unit(Unit::OutputText, per_million("3"))).await;
    let mut event = desk.event("one", [(Unit::OutputText, 1_000_000)]);
    event.tags.insert("case".to_owned(), "7".to_owned());
    desk.record(Event { message: Some("m1".to_owned()), step: Some(2), tool: Some("loom".to_owned()), ..event }).await;
    desk.record(desk.event("a call", [])).await;
    let text = desk.exported(Format::Csv).await;
    let rows: Vec<_> = text.lines().skip(1).collect();
    assert!(rows[0].ends_with(",m1,2,loom,outputText,1000000,1.2,USD,3,EUR,billed,no,case=7"), "{}", rows[0]);
    assert!(rows[1].starts_with("agent,a call,"), "an event without units has a line: {}", rows[1]);
}

#[tokio::test]
async fn a_page_says_what_is_left_to_be_paid() {
    let desk = Desk::priced().await;
    desk.output("one", 1_000_000).await;
    desk.now("2026-09-02T00:00:00Z").await;
    let invoice = desk.invoice(START).await;
    desk.commit(move |tx| credit_note(tx, invoice, "outage", money("0.50"), "an outage")).await;
    let page = desk.document(invoice).await.to_html(&Letterhead::default());
    assert!(page.contains("To be paid</th><td class=\"n\">0.70&nbsp;USD"), "{page}");
}
