use super::uses;
use crate::metadata::Metadata;

/// An `app` with a dev-dependency, and `codec` with two optional versions of `io`.
fn metadata(codec_features: &str) -> Metadata {
    let package = |name: &str, version: &str, rest: &str| {
        format!(
            r#"{{"id": "{name}@{version}", "name": "{name}", "version": "{version}", "manifest_path": "/{name}/Cargo.toml",
            "targets": [], "publish": null, "license": null, "source": null, {rest}}}"#
        )
    };
    let leaf = r#""dependencies": [], "features": {}"#;
    let app = r#""dependencies": [{"name": "codec", "kind": null, "optional": false, "rename": null},
        {"name": "proptest", "kind": "dev", "optional": false, "rename": null}], "features": {}"#;
    let codec = r#""dependencies": [{"name": "io", "kind": null, "optional": true, "rename": "io-04"},
        {"name": "io", "kind": null, "optional": true, "rename": "io-06"}],
        "features": {"alloc": ["io-04?/alloc", "io-06?/alloc"], "old": ["dep:io-04"], "new": ["io-06/alloc"]}"#;
    let packages = [
        package("app", "1.0.0", app),
        package("codec", "1.1.3", codec),
        package("proptest", "1.0.0", leaf),
        package("io", "0.4.0", leaf),
        package("io", "0.6.1", leaf),
    ];
    let edge = |name: &str, to: &str, kind: &str| {
        format!(r#"{{"name": "{name}", "pkg": "{to}", "dep_kinds": [{{"kind": {kind}}}]}}"#)
    };
    let app_edges = [edge("codec", "codec@1.1.3", "null"), edge("proptest", "proptest@1.0.0", "\"dev\"")];
    let codec_edges = [edge("io_04", "io@0.4.0", "null"), edge("io_06", "io@0.6.1", "null")];
    let json = format!(
        r#"{{"packages": [{}], "workspace_members": ["app@1.0.0"], "workspace_root": "/", "target_directory": "/target",
        "resolve": {{"nodes": [{{"id": "app@1.0.0", "features": [], "deps": [{}]}},
        {{"id": "codec@1.1.3", "features": [{codec_features}], "deps": [{}]}}]}}}}"#,
        packages.join(", "),
        app_edges.join(", "),
        codec_edges.join(", "),
    );
    serde_json::from_str(&json).expect("valid JSON")
}

fn check(codec_features: &str, is_followed: fn(Option<&str>) -> bool, expected: &[&str]) {
    let metadata = metadata(codec_features);
    let uses = uses(&metadata, metadata.members(), is_followed).expect("there is a graph");
    let mut used: Vec<_> = uses.iter().map(|(_, used)| used.id.as_str()).collect();
    used.sort_unstable();
    assert_eq!(used, expected, "{codec_features}");
}

#[test]
fn only_edges_of_the_wanted_kind_are_followed() {
    check("", |kind| kind.is_none(), &["codec@1.1.3"]);
    check("", |_| true, &["codec@1.1.3", "proptest@1.0.0"]);
}

#[test]
fn optional_package_counts_once_a_feature_needs_it() {
    check(r#""alloc""#, |kind| kind.is_none(), &["codec@1.1.3"]);
    check(r#""alloc", "old""#, |kind| kind.is_none(), &["codec@1.1.3", "io@0.4.0"]);
    check(r#""new""#, |kind| kind.is_none(), &["codec@1.1.3", "io@0.6.1"]);
}
