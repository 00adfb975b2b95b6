//! The text of a page without its structure: of one that is nested too deep, or has too many elements.

use std::cell::{Cell, RefCell};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::{Rawtext, Rcdata, ScriptData};
use html5ever::tokenizer::{
    BufferQueue, CharacterTokens, StartTag, TagToken, Token, TokenSink, TokenSinkResult, Tokenizer,
    TokenizerOpts,
};

use super::Document;

/// Reads what stands between the tags, without that of scripts and the like.
pub(super) fn read(html: &str) -> Document {
    let tokens = Tokenizer::new(Texts::default(), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(html));
    // The sink asks for no pause, so all of it is taken at once.
    let _ = tokens.feed(&input);
    tokens.end();
    let Texts { text, title, .. } = tokens.sink;
    let plain = |text: RefCell<String>| text.borrow().split_whitespace().collect::<Vec<_>>().join(" ");
    let title = Some(plain(title)).filter(|title| !title.is_empty());
    Document { title, text: plain(text), ..Document::default() }
}

/// In what the text is that comes.
#[derive(Clone, Copy, Default)]
enum Inside {
    #[default]
    Page,
    Title,
    /// Something that is no text of the page.
    Other,
}

#[derive(Default)]
struct Texts {
    text: RefCell<String>,
    title: RefCell<String>,
    inside: Cell<Inside>,
}

impl TokenSink for Texts {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        match token {
            CharacterTokens(text) => match self.inside.get() {
                Inside::Page => self.text.borrow_mut().push_str(&text),
                Inside::Title => self.title.borrow_mut().push_str(&text),
                Inside::Other => {}
            },
            TagToken(tag) => {
                self.text.borrow_mut().push(' ');
                let is_titled = !self.title.borrow().trim().is_empty();
                let (inside, result) = match (tag.kind, &*tag.name) {
                    (StartTag, "script") => (Inside::Other, TokenSinkResult::RawData(ScriptData)),
                    (StartTag, "style" | "noscript" | "iframe" | "noembed" | "noframes" | "xmp") => {
                        (Inside::Other, TokenSinkResult::RawData(Rawtext))
                    }
                    (StartTag, "title") if !is_titled => (Inside::Title, TokenSinkResult::RawData(Rcdata)),
                    (StartTag, "title") => (Inside::Other, TokenSinkResult::RawData(Rcdata)),
                    _ => (Inside::Page, TokenSinkResult::Continue),
                };
                self.inside.set(inside);
                return result;
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}
