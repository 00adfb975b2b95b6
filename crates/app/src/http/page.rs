//! The start page: who can be asked, and three things to try.

use axum::response::Html;

use crate::app::App;

/// Serves the page. It holds nothing that needs a key.
pub(super) async fn serve(app: App) -> Html<String> {
    let agents: String =
        app.inner().agents.names().map(|name| format!("<li><code>{}</code></li>", escaped(name))).collect();
    Html(
        include_str!("page.html")
            .replace("{agents}", &agents)
            .replace("{version}", env!("CARGO_PKG_VERSION")),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
