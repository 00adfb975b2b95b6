use loomwork_store::Key;

#[derive(Key)]
enum Status {
    Pending,
    Failed { reason: String },
    Retried(u32),
}

#[derive(Key)]
enum Colour {
    Red,
    #[key("red")]
    Crimson,
    #[key("blue")]
    #[key("azure")]
    Blue,
}

#[derive(Key)]
struct Point {
    x: i64,
    y: i64,
}

#[derive(Key)]
struct Marker;

#[derive(Key)]
enum Never {}

#[derive(Key)]
struct Wrapped<T>(T);

fn main() {}
