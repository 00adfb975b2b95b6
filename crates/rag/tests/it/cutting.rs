//! Chunkers lose nothing, and cut where they say.

use std::sync::Arc;

use loomwork_models::Estimator;
use loomwork_rag::{Chunker, LinePacker, Markdown, Measure, Paragraphs, Size};
use proptest::prelude::*;

fn cut(chunker: &dyn Chunker, text: &str) -> Vec<String> {
    chunker.cut(text).expect("it is cut").into_iter().map(|piece| text[piece.range].to_owned()).collect()
}

fn packed(text: &str, soft: usize, hard: usize) -> Vec<String> {
    cut(&LinePacker { soft, hard }, text)
}

#[test]
fn the_packer_of_lines_cuts_as_the_specification_says() {
    for blank in ["", "   ", "   \n  \n "] {
        assert!(packed(blank, 1_000, 10_000).is_empty());
    }
    assert_eq!(packed("aaaa\n\nbbbb\n\n\n\ncccc", 10, 10_000), ["aaaa\n\nbbbb", "\n\n\ncccc"]);
    assert_eq!(packed("aaaa\n\n\nbbbb", 6, 10_000), ["aaaa\n", "bbbb"]);
    assert_eq!(packed("aaaa\n\nbbbb", 4, 10_000), ["aaaa", "bbbb"]);
    assert_eq!(packed("aaaa\n\nbbbb", 5, 10_000), ["aaaa\n", "bbbb"]);
    assert_eq!(packed("\n\naaaa\nbbbb\n\n", 100, 10_000), ["\n\naaaa\nbbbb"]);
    assert_eq!(packed("abcdefghijklmnop", 4, 5), ["abcd", "efgh", "ijkl", "mnop"]);
    assert_eq!(packed("ab\nabcdefghijklmnop\ncd", 4, 5), ["ab", "abcd", "efgh", "ijkl", "mnop", "cd"]);
    assert_eq!(packed("line1\r\n\r\nline2\r\n", 100, 10_000), ["line1\r\n\r\nline2\r"]);
    let lengths =
        |text: String, soft, hard| packed(&text, soft, hard).iter().map(String::len).collect::<Vec<_>>();
    assert_eq!(lengths("A".repeat(3_000), 1_000, 10_000), [3_000]);
    assert_eq!(lengths("a".repeat(10_000), 1_000, 10_000), [10_000]);
    assert_eq!(lengths("a".repeat(10_001), 1_000, 10_000), [5_000, 5_001]);
    assert_eq!(lengths("a".repeat(25_000), 1_000, 10_000), [6_250; 4]);
    assert_eq!(lengths("A".repeat(15_000), 1_000, 5_000), [3_750; 4]);
    let lines = vec!["x".repeat(99); 100].join("\n");
    assert_eq!(lengths(lines, 1_000, 10_000), [999; 10]);
    let paragraphs = vec!["p".repeat(559); 3].join("\n\n");
    assert_eq!(lengths(paragraphs, 1_000, 10_000), [560, 560, 559]);
    // Between letters, never within one.
    assert_eq!(packed("😀😀😀", 2, 3).concat(), "😀😀😀");
}

#[test]
fn paragraphs_are_kept_together_and_cut_at_the_best_seam() {
    let by = |least, most| Paragraphs { size: Size { least, most, ..Size::default() } };
    let three = "One small paragraph.\n\nAnother one.\n\nAnd a third.";
    assert_eq!(cut(&by(100, 1_000), three), [three]);
    let paragraphs = ["a ".repeat(80), "b ".repeat(80), "c ".repeat(80)].join("\n\n");
    let pieces = cut(&by(100, 1_000), &paragraphs);
    assert_eq!(pieces.len(), 3, "each ends where a paragraph does: {pieces:?}");
    assert!(
        pieces.iter().all(|piece| piece.trim().chars().collect::<std::collections::BTreeSet<_>>().len() == 2)
    );
    // A return before the line feed is a line break too.
    let windows = ["a ".repeat(80), "b ".repeat(80)].join("\r\n\r\n");
    assert_eq!(cut(&by(100, 1_000), &windows).len(), 2);
    let lines: String = (0..30).map(|at| format!("line {at} of a long paragraph\n")).collect();
    let pieces = cut(&by(100, 300), &lines);
    let is_whole = |line: &str| line.starts_with("line ") && line.ends_with("paragraph");
    assert!(
        pieces.iter().all(|piece| piece.len() <= 300 && piece.trim().lines().all(is_whole)),
        "{pieces:?}"
    );
    let word = "x".repeat(2_500);
    assert!(cut(&by(100, 1_000), &word).iter().all(|piece| piece.len() <= 1_000));
    assert!(cut(&by(100, 1_000), " \n ").is_empty());
}

#[test]
fn markdown_knows_the_headings_over_each_chunk() {
    let text = "Before all.\n\n# Looms\n\nThey weave.\n\n## Cards\n\nPunched.\n\n```\n# no heading\n```\n\n# Moths\n\nThey fly.\n";
    let markdown = Markdown { size: Size { least: 1, most: 40, ..Size::default() } };
    let pieces = markdown.cut(text).unwrap();
    let over = |word: &str| {
        let piece =
            pieces.iter().find(|piece| text[piece.range.clone()].contains(word)).expect("it is there");
        piece.section.join(" > ")
    };
    assert_eq!(over("Before"), "");
    assert_eq!(over("weave"), "Looms");
    assert_eq!(over("Punched"), "Looms > Cards");
    assert_eq!(over("no heading"), "Looms > Cards");
    assert_eq!(over("fly"), "Moths");
}

#[test]
fn sizes_are_measured_in_tokens_too_and_may_overlap() {
    let text = "one two three four five six seven eight nine ten ".repeat(20);
    let size = Size::tokens(20, Arc::new(Estimator));
    let pieces = cut(&Paragraphs { size }, &text);
    assert!(pieces.iter().all(|piece| loomwork_models::TokenCounter::count(&Estimator, piece) <= 20));
    assert_eq!(pieces.concat(), text);
    let size = Size { least: 100, most: 100, overlap: 30, measure: Measure::Letters };
    let ranges: Vec<_> =
        Paragraphs { size }.cut(&text).unwrap().into_iter().map(|piece| piece.range).collect();
    assert!(ranges.windows(2).any(|pair| pair[1].start < pair[0].end));
    for wrong in [(0, 10, 0), (20, 10, 0), (10, 10, 10), (10, 1_000_000, 0)] {
        let size = Size { least: wrong.0, most: wrong.1, overlap: wrong.2, ..Size::default() };
        assert!(Paragraphs { size }.cut("text").is_err(), "{wrong:?}");
    }
}

#[cfg(feature = "code")]
#[test]
fn code_is_cut_between_its_items() {
    let rust = loomwork_rag::Code::new("rust", tree_sitter_rust::LANGUAGE, Size::letters(60)).unwrap();
    let text = "/// One.\nfn one() {\n    weave();\n}\n\n/// Two.\nfn two() {\n    weave();\n}\n";
    let pieces = cut(&rust, text);
    assert_eq!(pieces.concat(), text);
    assert!(pieces.iter().any(|piece| piece.starts_with("fn two")), "{pieces:?}");
}

/// Checks what every chunker of the crate promises.
fn check(chunker: &dyn Chunker, text: &str, most: Option<usize>) {
    let pieces = chunker.cut(text).expect("it is cut");
    let mut end = 0;
    for piece in &pieces {
        assert!(piece.range.start >= end, "pieces overlap");
        assert!(
            text[end..piece.range.start].trim().is_empty(),
            "{:?} is lost",
            &text[end..piece.range.start]
        );
        assert!(!text[piece.range.clone()].trim().is_empty(), "a piece of nothing");
        assert!(
            most.is_none_or(|most| text[piece.range.clone()].chars().count() <= most),
            "a piece is too long"
        );
        end = piece.range.end;
    }
    assert!(text[end..].trim().is_empty(), "{:?} is lost", &text[end..]);
}

proptest! {
    #[test]
    fn no_text_is_lost_and_no_piece_is_too_long(
        text in "([a-z]{1,12}|[ \\n\\r\\t]{1,3}|\\n\\n|\\. |# |```|- |[äß漢😀e\u{301}]){0,120}",
        least in 1_usize..60,
        more in 0_usize..80,
    ) {
        let size = Size { least, most: least + more, ..Size::default() };
        check(&Paragraphs { size: size.clone() }, &text, Some(least + more));
        check(&Markdown { size }, &text, Some(least + more));
        check(&LinePacker { soft: least, hard: least + more }, &text, None);
    }
}

/// Cuts a text on a thread of its own.
async fn cut_there(chunker: impl Chunker + 'static, text: String) -> Vec<loomwork_rag::Piece> {
    let cut = tokio::task::spawn_blocking(move || chunker.cut(&text).expect("it is cut"));
    loomwork_testkit::soon(cut).await.expect("it ends")
}

#[tokio::test]
async fn cutting_takes_time_that_grows_with_the_text_alone() {
    // Each of these would take minutes if a part of it counted for each other part.
    let headings = cut_there(Markdown::default(), "# a\n".repeat(100_000)).await;
    assert!(headings.len() > 1_000 && headings.iter().all(|piece| piece.section == ["a"]));
    let lines = cut_there(Paragraphs::default(), "a line\n\n".repeat(20_000)).await;
    assert!(lines.len() > 100);
    assert!(cut_there(Paragraphs::default(), " \n".repeat(100_000)).await.is_empty());
}

#[test]
fn a_heading_is_kept_short_with_the_chunks_under_it() {
    let text =
        format!("# {}\n\n## {}\n\n{}", "a".repeat(1 << 14), "ä".repeat(1 << 10), "text. ".repeat(2_000));
    let pieces = Markdown::default().cut(&text).unwrap();
    let headings: usize = pieces.iter().flat_map(|piece| &piece.section).map(String::len).sum();
    assert!(headings <= 2 * 200 * pieces.len(), "{headings} bytes for {} pieces", pieces.len());
    assert!(pieces.last().unwrap().section.iter().all(|title| !title.is_empty()));
}

#[test]
fn a_long_text_is_cut_as_its_parts_are() {
    let paragraph = |at: usize| format!("Paragraph {at} {}", "word ".repeat(100 + at % 7));
    let text: Vec<String> = (0..1_200).map(paragraph).collect();
    let text = text.join("\n\n");
    let size = Size { least: 100, most: 1_000, overlap: 0, ..Size::default() };
    let pieces = cut(&Paragraphs { size: size.clone() }, &text);
    assert_eq!(pieces.concat(), text);
    // Each is a paragraph, wherever in the text it stands.
    assert!(pieces.iter().all(|piece| piece.trim().starts_with("Paragraph")), "{pieces:?}");
    let code = "```\n# no heading\n\nno block\n```\n\n".repeat(20);
    let markdown: String =
        (0..400).map(|at| format!("# Section {at}\n\n{code}{}\n\n", paragraph(at))).collect();
    let pieces = Markdown { size }.cut(&markdown).unwrap();
    for piece in &pieces {
        let slice = &markdown[piece.range.clone()];
        let first = piece.range.end - slice.trim_start().len();
        let last = markdown[..(first + "# Section ".len()).min(markdown.len())].rfind("# Section ");
        let title = markdown[last.expect("each is under one") + 2..].lines().next().unwrap();
        assert_eq!(piece.section, [title], "{slice}");
    }
    assert!(pieces.len() > 400);
}

#[test]
fn chunks_overlap_wherever_in_a_long_text_they_are() {
    let text = "one two three four five six seven eight nine ten ".repeat(1_000);
    let size = Size { least: 100, most: 100, overlap: 30, ..Size::default() };
    let pieces = Paragraphs { size }.cut(&text).unwrap();
    assert!(text.len() > 40_000 && pieces.windows(2).all(|pair| pair[1].range.start < pair[0].range.end));
}
