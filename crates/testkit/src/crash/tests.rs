//! The harness itself, with small shell programs as victims.

#![cfg(unix)]

use std::process::Command;
use std::time::Duration;

use loomwork_core::Stopwatch;

use super::{Failure, Mode, Moment, Point, Sign, kill};

const SHORT: Duration = Duration::from_millis(50);

fn shell(program: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", program]);
    command
}

#[test]
fn whole_lines_are_handed_back_and_cut_ones_are_not() {
    let mut program = shell("echo ack 1; echo ack 2; printf 'ack 3'; echo at rest >&2; read line");
    let rest = Point { name: "rest", count: 1, mode: Mode::Park };
    let said = kill(&mut program, Moment::at(Sign::Point(rest))).expect("it is killed");
    assert_eq!(said, ["ack 1", "ack 2"]);
}

#[test]
fn the_point_is_told_to_the_process() {
    let point = Point { name: "commit.after", count: 7, mode: Mode::Go };
    let mut program = shell("echo $LOOMWORK_CRASH_POINT; echo at commit.after >&2; read line");
    let said = kill(&mut program, Moment::at(Sign::Point(point))).expect("it is killed");
    assert_eq!(said, ["commit.after:7:go"]);
}

#[test]
fn the_process_goes_on_for_the_pause() {
    let watch = Stopwatch::start();
    kill(&mut shell("echo ready; read line"), Moment::at(Sign::Said("ready")).pause(SHORT))
        .expect("it is killed");
    assert!(watch.elapsed() >= SHORT);
}

#[test]
fn a_sign_can_be_seen_from_outside() {
    let mut looks = 0;
    let seen = move || {
        looks += 1;
        looks > 3
    };
    kill(&mut shell("read line"), Moment::at(Sign::Seen("the fourth look", Box::new(seen))))
        .expect("it is killed");
}

#[test]
fn a_process_that_hangs_fails_with_what_it_was_to_do() {
    let moment = Moment::at(Sign::Said("ready")).patience(SHORT);
    let failure = kill(&mut shell("echo not yet; read line"), moment).expect_err("it hangs");
    assert!(matches!(failure, Failure::Hung { .. }));
    let text = failure.to_string();
    assert!(text.contains("the line \"ready\"") && text.contains("not yet"), "{text}");
}

#[test]
fn a_process_that_ends_by_itself_fails_with_its_last_words() {
    let mut program = shell("echo ready; echo the disk is gone >&2; exit 3");
    let failure = kill(&mut program, Moment::at(Sign::Said("never"))).expect_err("it ends");
    assert!(matches!(failure, Failure::Ended { .. }));
    assert!(failure.to_string().contains("the disk is gone"), "{failure}");
}
