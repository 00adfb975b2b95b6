//! Named places where a crash test may stop the process.

/// Marks a place where a crash test may have the process killed; anywhere else it does nothing.
///
/// The feature `crash-points` brings it to life. The variable `LOOMWORK_CRASH_POINT=name:count:mode`
/// then picks the moment at which the point `name` is reached for the `count`-th time. The process
/// says `at name` on its standard error, and the thread that got there stops for ever (mode `park`)
/// or goes on (mode `go`), so that a parent kills it right there or shortly behind.
///
/// # Panics
/// With the feature, if the variable is there and says something else.
#[cfg(feature = "crash-points")]
pub fn crash_point(name: &'static str) {
    armed::reach(name);
}

/// Marks a place where a crash test may have the process killed; anywhere else it does nothing.
///
/// It is empty, since the feature `crash-points` is off.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub fn crash_point(_name: &'static str) {}

#[cfg(feature = "crash-points")]
mod armed {
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    const VARIABLE: &str = "LOOMWORK_CRASH_POINT";

    /// The moment that the variable picks.
    #[derive(Debug)]
    struct Moment {
        name: String,
        count: u64,
        mode: Mode,
        reached: AtomicU64,
    }

    #[derive(Clone, Copy, Debug)]
    enum Mode {
        Park,
        Go,
    }

    pub(super) fn reach(name: &str) {
        static MOMENT: OnceLock<Option<Moment>> = OnceLock::new();
        if let Some(moment) =
            MOMENT.get_or_init(from_environment).as_ref().filter(|moment| moment.name == name)
        {
            moment.reach();
        }
    }

    fn from_environment() -> Option<Moment> {
        let value = std::env::var(VARIABLE).ok()?;
        let moment = parse(&value);
        Some(
            moment.unwrap_or_else(|| {
                panic!("{VARIABLE} is `name:count:park` or `name:count:go`, not {value:?}")
            }),
        )
    }

    fn parse(value: &str) -> Option<Moment> {
        let (rest, mode) = value.rsplit_once(':')?;
        let (name, count) = rest.rsplit_once(':')?;
        let mode = match mode {
            "park" => Mode::Park,
            "go" => Mode::Go,
            _ => return None,
        };
        Some(Moment { name: name.to_owned(), count: count.parse().ok()?, mode, reached: AtomicU64::new(0) })
    }

    impl Moment {
        fn reach(&self) {
            if self.reached.fetch_add(1, Ordering::Relaxed) + 1 != self.count {
                return;
            }
            // One write, so that no other thread's words come between. Whoever does not listen is not told.
            let _ = std::io::stderr().write_all(format!("at {}\n", self.name).as_bytes());
            if matches!(self.mode, Mode::Park) {
                loop {
                    std::thread::park();
                }
            }
        }
    }
}
