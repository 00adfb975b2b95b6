//! The headings of a Markdown text, and what stands under them.

/// How much of a heading is kept with each of the chunks under it, in bytes.
const MAX_HEADING_BYTES: usize = 200;

/// How far spaces may move a line in that is no code, in Markdown.
const MAX_INDENT: usize = 3;

/// Goes through a Markdown text, and knows the headings over where it is. It goes forward alone, so that all that is
/// asked of it takes one pass.
pub(super) struct Outline<'a> {
    text: &'a str,
    /// Up to where it has read, at the beginning of a line.
    at: usize,
    /// The headings over that place, the outermost first, with their levels.
    path: Vec<(usize, &'a str)>,
    /// The fence of the code block that is open there: its mark, and how many of these.
    fence: Option<(char, usize)>,
}

impl<'a> Outline<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { text, at: 0, path: Vec::new(), fence: None }
    }

    /// Returns the headings that stand over a place, that on its own line too.
    pub(super) fn over(&mut self, place: usize) -> Vec<String> {
        self.go_on(|at| at <= place);
        self.path.iter().map(|(_, title)| (*title).to_owned()).collect()
    }

    /// Whether a place is within a code block.
    pub(super) fn is_code(&mut self, place: usize) -> bool {
        self.go_on(|at| at < place);
        self.fence.is_some()
    }

    fn go_on(&mut self, is_before: impl Fn(usize) -> bool) {
        while self.at < self.text.len() && is_before(self.at) {
            let rest = &self.text[self.at..];
            let line = rest.split_inclusive('\n').next().unwrap_or(rest);
            self.at += line.len();
            self.read(line);
        }
    }

    /// Takes in a line: a heading is marked by `#`, and none within fenced code.
    fn read(&mut self, line: &'a str) {
        let bare = line.trim_end().trim_start_matches(' ');
        if line.len() - line.trim_start_matches(' ').len() > MAX_INDENT {
            return;
        }
        let marks = |mark: char| bare.chars().take_while(|letter| *letter == mark).count();
        let opened = ['`', '~'].into_iter().find(|mark| marks(*mark) >= 3);
        match (self.fence, opened) {
            (None, Some(mark)) => self.fence = Some((mark, marks(mark))),
            (Some((mark, count)), Some(found)) if mark == found && marks(mark) >= count => self.fence = None,
            _ => {}
        }
        let level = marks('#');
        let rest = &bare[level..];
        let is_heading = (1..=6).contains(&level) && (rest.is_empty() || rest.starts_with([' ', '\t']));
        if self.fence.is_some() || !is_heading {
            return;
        }
        let title = rest.trim().trim_end_matches('#').trim_end();
        self.path.retain(|(over, _)| *over < level);
        self.path.push((level, &title[..title.floor_char_boundary(MAX_HEADING_BYTES)]));
    }
}
