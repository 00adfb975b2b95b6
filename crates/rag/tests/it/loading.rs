//! Documents are read by what they are, and garbage is an error.

use loomwork_core::Fault as _;
use loomwork_models::{MockModel, Part};
use loomwork_rag::{Document, Error, Form, Reader, describe_image, to_markdown, transcribe_pdf};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

async fn read(name: &str, bytes: &'static [u8]) -> Result<Document, Error> {
    Reader::default().read(name, None, bytes.into()).await
}

fn why(outcome: Result<Document, Error>) -> String {
    let error = outcome.expect_err("it cannot be read");
    assert_eq!(error.kind(), loomwork_core::Kind::Invalid);
    error.to_string()
}

#[tokio::test]
async fn texts_are_read_as_what_they_are() {
    let plain = read("notes.txt", b"\xef\xbb\xbfplain").await.unwrap();
    assert_eq!((plain.text.as_str(), plain.form, plain.is_marked), ("plain", Form::Plain, true));
    let markdown = read("a.md", b"# Title #\n\ntext").await.unwrap();
    assert_eq!((markdown.title.as_deref(), markdown.form), (Some("Title"), Form::Markdown));
    let code = read("main.RS", b"fn main() {}").await.unwrap();
    assert_eq!(code.form, Form::Code("rs".to_owned()));
    let unnamed = read("README", b"just text").await.unwrap();
    assert_eq!(unnamed.text, "just text");
}

#[tokio::test]
async fn records_become_paragraphs_with_a_line_for_each_field() {
    let csv = read("t.csv", b"name,year,\njacquard,1804,x\n\"ada, l.\",1843\n").await.unwrap();
    assert_eq!(csv.text, "name: jacquard\nyear: 1804\nx\n\nname: ada, l.\nyear: 1843");
    let json = read("t.json", br#"[{"a":{"b":1,"c":[1,"x"]}},{"a":null,"d":true},"plain"]"#).await.unwrap();
    assert_eq!(json.text, "a.b: 1\na.c: 1, x\n\nd: true\n\nplain");
    let lines = read("t.jsonl", b"{\"a\":1}\n\n{\"a\":2}\n").await.unwrap();
    assert_eq!(lines.text, "a: 1\n\na: 2");
    assert!(why(read("t.json", b"{").await).contains("t.json cannot be read as JSON"));
    assert!(why(read("t.jsonl", b"{\"a\":1}\nno").await).contains("line 2"));
}

#[tokio::test]
async fn records_take_space_that_grows_with_them_alone() {
    let read = async |name: &str, text: String| Reader::default().read(name, None, text.into()).await;
    // The name of a column or a field is written for each record, but not all of a name that has no end.
    let name = "n".repeat(1 << 20);
    let table = read("t.csv", format!("{name}\n{}", "1\n".repeat(20_000))).await.unwrap();
    assert!(table.text.len() < 6 << 20 && table.text.ends_with("n: 1"), "{}", table.text.len());
    let fields: Vec<_> = (0..20_000).map(|at| format!("\"f{at}\":1")).collect();
    let json = format!("{{\"{name}\":{{{}}}}}", fields.join(","));
    let json = read("t.json", json).await.unwrap();
    assert!(json.text.len() < 6 << 20 && json.text.ends_with("n.f19999: 1"), "{}", json.text.len());
    let nested = format!("{}1{}", format!("{{\"{}\":", "m".repeat(900)).repeat(100), "}".repeat(100));
    assert!(read("t.json", nested).await.unwrap().text.len() < 1 << 12);
    // What comes to more than a document may have is refused.
    let wide = read("t.csv", format!("{}\n{}", "n".repeat(200), "1\n".repeat(400_000))).await;
    let why = why(wide);
    assert!(why.contains("the text of t.csv has") && why.contains("67108864"), "{why}");
}

#[tokio::test]
async fn what_is_no_text_is_an_error_that_names_it() {
    assert!(why(read("a.txt", b"ab\xff").await).contains("byte 2 is no UTF-8"));
    assert!(why(read("a.bin", b"a\0b").await).contains("a.bin"));
    assert!(why(read("a.png", PNG).await).contains("Reader::images"));
    let small = Reader::default().max_bytes(3).read("a.txt", None, "long".into()).await;
    let small = why(small);
    assert!(small.contains("a.txt has 4 bytes; the most is 3") && small.contains("max_bytes"), "{small}");
}

#[tokio::test]
async fn models_read_images_scans_and_what_machines_wrote() {
    let model = MockModel::new(["A loom."]);
    let read = describe_image(&model, PNG, Some("image/png")).await.unwrap();
    assert_eq!(read.text, "A loom.");
    let asked = &model.requests()[0];
    assert!(
        matches!(&asked.messages[1].parts[0], Part::Image(image) if image.media_type.as_deref() == Some("image/png"))
    );
    let model = MockModel::new(["# Page"]);
    assert_eq!(transcribe_pdf(&model, &b"%PDF-1.7 ..."[..]).await.unwrap().text, "# Page");
    assert!(
        matches!(&model.requests()[0].messages[1].parts[0], Part::File(file) if file.media_type == "application/pdf")
    );
    assert!(transcribe_pdf(&model, &b"garbage"[..]).await.is_err());
    assert_eq!(to_markdown(&MockModel::new(["text"]), "<b>text</b>").await.unwrap().text, "text");
    assert!(to_markdown(&MockModel::new([" "]), "x").await.is_err());
    let reader = Reader::default().images(MockModel::new(["A moth."]));
    let read = reader.read("a.png", None, PNG.into()).await.unwrap();
    assert_eq!(read.text, "A moth.");
    assert!(read.used.is_some_and(|(_, usage)| !usage.is_empty()));
}

#[cfg(feature = "html")]
#[tokio::test]
async fn of_a_web_page_the_main_text_is_read() {
    let page = b"<!doctype html><html><head><title>Looms &amp; moths</title><style>p{}</style></head><body>
        <nav><a href=/>Home</a></nav><main><h1>Looms</h1><p>They <b>weave</b>.</p><script>alert(1)</script>
        <ul><li>cards</ul></main><footer>imprint</footer></body></html>";
    let read = read("page.html", page).await.unwrap();
    assert_eq!((read.title.as_deref(), read.form), (Some("Looms & moths"), Form::Markdown));
    assert!(read.text.contains("# Looms") && read.text.contains("**weave**") && read.text.contains("cards"));
    for noise in ["Home", "imprint", "alert", "p{}"] {
        assert!(!read.text.contains(noise), "{noise} in {}", read.text);
    }
}

#[cfg(feature = "html")]
#[tokio::test]
async fn a_page_without_a_main_part_is_read_without_what_is_around_it() {
    let broken =
        read("x.html", b"<html><body><nav>menu</nav><p>text <i>and</i> more<p>end<article").await.unwrap();
    assert!(broken.text.contains("text") && broken.text.contains("end") && !broken.text.contains("menu"));
}

#[cfg(feature = "html")]
#[tokio::test]
async fn a_page_that_is_nested_too_deep_gives_its_bare_text() {
    let read = async |html: String| {
        Reader::default().read("deep.html", Some("text/html"), html.into()).await.unwrap()
    };
    let nested = |open: &str, times: usize| {
        format!("<!doctype html><html>{}<style>p{{}}</style><p>deep &amp; down</html>", open.repeat(times))
    };
    for open in
        ["<div>", "<span><div></span>", "<div></x>", "<ul><li>", "<b><i>", "<rt>", "<ruby><rt>", "<math><tr>"]
    {
        let deep = read(nested(open, 5_000)).await;
        assert_eq!((deep.text.as_str(), deep.form), ("deep & down", Form::Plain), "{open}");
    }
    let near = read(nested("<div>", 190)).await;
    assert_eq!((near.text.trim(), near.form), ("deep & down", Form::Markdown));
}

/// Reads a page that somebody made to do harm.
#[cfg(feature = "html")]
async fn harmful(html: String) -> Document {
    let page = format!("<!doctype html><html><body>{html}<p>deep &amp; down</html>");
    loomwork_testkit::soon(Reader::default().read("harm.html", Some("text/html"), page.into()))
        .await
        .expect("it is read")
}

#[cfg(feature = "html")]
#[tokio::test]
async fn tags_that_seem_to_end_by_themselves_do_not_end_the_process() {
    let nested =
        ["<rt>", "<optgroup>", "<math><tr>", r#"<div title="> <!-- ">"#, "<template>", "<select><option>"];
    for open in nested {
        let read = harmful(open.repeat(20_000)).await;
        assert!(read.text.len() < 100_000, "{open}");
    }
    let read = harmful(r#"<div title="> <!-- ">"#.repeat(20_000)).await;
    assert_eq!(read.text, "deep & down");
}

#[cfg(feature = "html")]
#[tokio::test]
async fn a_page_takes_time_and_space_that_grow_with_it_alone() {
    // Each of these would take hours or gigabytes if a part of it counted for each other part.
    let read = harmful("<main>".repeat(300_000)).await;
    assert_eq!(read.text, "deep & down");
    let bold: String = (0..3_000).map(|at| format!("<b x={at}>")).collect();
    let read = harmful(format!("{bold}{}", "<p>x".repeat(100_000))).await;
    assert!(read.text.len() < 1 << 20);
    let wide =
        format!("<table><tr><th>{}<th>b{}</table>", "a".repeat(1 << 20), "<tr><td>c<td>d".repeat(20_000));
    let read = harmful(wide).await;
    assert!(read.text.contains("| c | d |") && read.text.len() < 2 << 20, "{}", read.text.len());
    let many = format!("<table><tr>{}{}</table>", "<th>a".repeat(30_000), "<tr><td>c".repeat(30_000));
    assert!(harmful(many).await.text.len() < 1 << 20);
    let quoted = format!("{}<pre>{}", "<blockquote>".repeat(150), "\n".repeat(2 << 20));
    assert!(harmful(quoted).await.text.len() < 1 << 20);
}

#[cfg(feature = "html")]
#[tokio::test]
async fn of_a_page_nothing_is_read_that_is_not_shown_and_nothing_left_out_that_is() {
    let text = async |html: &'static str| read("page.html", html.as_bytes()).await.unwrap().text;
    let commented =
        text("<html><!-- <main>old</main> --><script>'<main>script</main>'</script><main>real</main>").await;
    assert_eq!(commented.trim(), "real");
    let articles = text(
        "<html><body><header>site</header><article><header><h1>One</h1></header><p>first</article>\
         <article><h1>Two</h1><p>second<footer>notes</footer></article><footer>imprint</footer>",
    );
    let articles = articles.await;
    for shown in ["# One", "first", "# Two", "second", "notes"] {
        assert!(articles.contains(shown), "{shown} in {articles}");
    }
    assert!(!articles.contains("site") && !articles.contains("imprint"), "{articles}");
    let empty = text("<html><body><main></main><p>The text is elsewhere.").await;
    assert_eq!(empty.trim(), "The text is elsewhere.");
    let table =
        text("<html><table><caption>Looms</caption><tr><th>name<th>year<tr><td>draw|loom<td>1804</table>")
            .await;
    assert_eq!(table.trim(), "Looms\n\n| name | year |\n| --- | --- |\n| draw\\|loom | 1804 |");
    let layout = text("<html><table><tr><td><h1>Looms</h1><p>They weave.</table>").await;
    assert!(layout.contains("# Looms") && layout.contains("They weave."), "{layout}");
}

#[cfg(not(feature = "html"))]
#[tokio::test]
async fn a_page_needs_its_feature() {
    assert!(why(read("page.html", b"<html><p>text").await).contains("feature `html`"));
}

#[cfg(not(feature = "pdf"))]
#[tokio::test]
async fn a_pdf_file_needs_its_feature() {
    assert!(why(read("a.pdf", b"%PDF-1.7").await).contains("feature `pdf`"));
}

#[cfg(feature = "pdf")]
mod pdf {
    use loomwork_rag::Reader;
    use loomwork_rag::pdf::Pdf;
    use loomwork_testkit::soon;

    use super::why;

    fn reader() -> Pdf {
        Pdf::with_program(env!("CARGO_BIN_EXE_loomwork-rag-pdf"))
    }

    /// A file with a page for each text.
    fn file(texts: &[&str]) -> Vec<u8> {
        let mut objects = vec!["<< /Type /Catalog /Pages 2 0 R >>".to_owned()];
        let kids: Vec<_> = (0..texts.len()).map(|at| format!("{} 0 R", 4 + 2 * at)).collect();
        objects.push(format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), texts.len()));
        objects.push(
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
        );
        for (at, text) in texts.iter().enumerate() {
            let content = format!("BT /F1 12 Tf 72 720 Td ({text}) Tj ET");
            objects.push(format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R /Resources << /Font << /F1 3 0 R >> >> >>",
                5 + 2 * at
            ));
            objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
        }
        objects.push("<< /Title (On looms) >>".to_owned());
        let mut bytes = b"%PDF-1.4\n".to_vec();
        let mut places = Vec::new();
        for (at, object) in objects.iter().enumerate() {
            places.push(bytes.len());
            bytes.extend(format!("{} 0 obj\n{object}\nendobj\n", at + 1).bytes());
        }
        let start = bytes.len();
        bytes.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
        for place in places {
            bytes.extend(format!("{place:010} 00000 n \n").bytes());
        }
        let (size, info) = (objects.len() + 1, objects.len());
        bytes.extend(
            format!("trailer\n<< /Size {size} /Root 1 0 R /Info {info} 0 R >>\nstartxref\n{start}\n%%EOF\n")
                .bytes(),
        );
        bytes
    }

    #[tokio::test]
    async fn a_file_is_read_with_its_title_and_pages() {
        let bytes = file(&["Looms weave patterns.", "Moths fly at night."]);
        let document = soon(Reader::default().pdf(reader()).read("a.pdf", None, bytes.into())).await.unwrap();
        assert_eq!(document.title.as_deref(), Some("On looms"));
        assert!(
            document.text.contains("Looms weave patterns.") && document.text.contains("Moths fly at night.")
        );
        assert_eq!((document.pages.len(), document.pages[0]), (2, 0));
        assert!(document.text[document.pages[1]..].starts_with("Moths"));
    }

    #[tokio::test]
    async fn garbage_is_an_error_and_not_a_crash() {
        let whole = file(&["text"]);
        let mut cases: Vec<Vec<u8>> = vec![Vec::new(), b"%PDF-".to_vec(), b"no pdf at all".to_vec()];
        cases.extend([10, whole.len() / 2, whole.len() - 30].map(|end| whole[..end].to_vec()));
        let random = loomwork_core::Random::seeded(3);
        let mut noise = b"%PDF-1.7\n".to_vec();
        noise.extend((0..4_000).map(|_| random.below(256) as u8));
        cases.push(noise);
        for case in cases {
            let shown = String::from_utf8_lossy(&case[..case.len().min(12)]).into_owned();
            match soon(reader().read("garbage.pdf", case.into())).await {
                // Of a file that was cut short, a careful reader can find what is there.
                Ok(document) => assert!(document.pages.len() <= 1, "{shown}"),
                error => assert!(why(error).starts_with("garbage.pdf cannot be read as a PDF file")),
            }
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_serve_is_not_started_again() {
        let why = why(soon(Pdf::default().read("a.pdf", file(&["x"]).into())).await);
        assert!(why.contains("a.pdf") && why.contains("pdf::serve"), "{why}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_reader_that_takes_too_long_is_ended_and_gone() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt as _;

        use loomwork_core::{Clock, Time};

        let folder = tempfile::tempdir().unwrap();
        let (script, told) = (folder.path().join("asleep"), folder.path().join("id"));
        let text = format!("#!/bin/sh\necho $$ > {0}.new\nmv {0}.new {0}\nexec sleep 1000\n", told.display());
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let clock = Clock::manual(Time::from_millis(0));
        let asleep = Pdf { clock: clock.clock(), ..Pdf::with_program(&script) };
        let started = async {
            while !told.exists() {
                tokio::task::yield_now().await;
            }
            clock.advance(asleep.timeout);
        };
        let (outcome, ()) =
            soon(async { tokio::join!(asleep.read("a.pdf", file(&["x"]).into()), started) }).await;
        assert!(why(outcome).contains("longer than"));
        let process = format!("/proc/{}/stat", fs::read_to_string(&told).unwrap().trim());
        let is_gone = || fs::read_to_string(&process).map_or(true, |stat| stat.contains(") Z "));
        soon(async {
            while !is_gone() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn a_reader_that_says_nothing_or_takes_too_much_is_an_error() {
        // `cat` gives back what it is given, which is no answer.
        let parrot = Pdf::with_program("/bin/cat");
        assert!(why(soon(parrot.read("a.pdf", file(&["x"]).into())).await).contains("is no reader"));
        let narrow = Pdf { memory: 1 << 20, ..reader() };
        let large = file(&[&"x".repeat(8 << 20)]);
        assert!(why(soon(narrow.read("a.pdf", large.into())).await).contains("memory"));
        let missing = Pdf::with_program("/nowhere/reader");
        assert!(missing.read("a.pdf", file(&["x"]).into()).await.is_err());
    }
}
