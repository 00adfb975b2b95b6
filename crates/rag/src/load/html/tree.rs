//! A page as the tree that a browser makes of it, within bounds.
//!
//! Reading a tree takes a step on the stack for each level, and making it takes time that grows with how deep
//! it is: so making it is given up where it gets too deep, or has too much in it. What is walked here is walked
//! without recursion.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use htmd::Node;
use html5ever::interface::tree_builder::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink as _};
use html5ever::{Attribute, ExpandedName, ParseOpts, QualName, ns, parse_document};
use markup5ever_rcdom::{NodeData, RcDom};

/// How deep elements may be nested.
const MAX_DEPTH: usize = 200;

/// How many elements there may be. A parser makes some that are not written, so a small page can have many.
const MAX_ELEMENTS: usize = 100_000;

/// After how many bytes it is seen whether the tree keeps its bounds.
const STEP_BYTES: usize = 4 << 10;

type Handle = Rc<Node>;

/// Returns the tree of a page, or `None` where it is too deep or too large.
pub(super) fn parse(html: &str) -> Option<Handle> {
    let is_over = Rc::new(Cell::new(false));
    let mut parser = parse_document(Bounded::new(is_over.clone()), ParseOpts::default());
    let mut rest = html;
    while !rest.is_empty() && !is_over.get() {
        let (step, behind) = rest.split_at(rest.floor_char_boundary(STEP_BYTES));
        parser.process(StrTendril::from(step));
        rest = behind;
    }
    let page = parser.finish().document;
    // What was moved within the tree was not looked at.
    let is_kept = !is_over.get() && levels(&page, &[]) <= MAX_DEPTH;
    is_kept.then_some(page)
}

/// Returns the elements of a name, in their order.
pub(super) fn elements(root: &Handle, name: &str) -> Vec<Handle> {
    let mut found = Vec::new();
    walk(root, |node, _| {
        if is(node, name) {
            found.push(node.clone());
        }
        true
    });
    found
}

/// Returns the elements of a name that stand in no other one of it.
pub(super) fn outermost(root: &Handle, name: &str) -> Vec<Handle> {
    let mut found = Vec::new();
    walk(root, |node, _| {
        let is_one = is(node, name);
        if is_one {
            found.push(node.clone());
        }
        !is_one
    });
    found
}

/// Returns how deep elements of these names are nested in each other, or all where there are no names.
pub(super) fn levels(root: &Handle, names: &[&str]) -> usize {
    let mut deepest = 0;
    let mut open = vec![(root.clone(), 0)];
    while let Some((node, depth)) = open.pop() {
        let counts = names.is_empty() || names.iter().any(|name| is(&node, name));
        let depth = depth + usize::from(counts);
        deepest = deepest.max(depth);
        open.extend(node.children.borrow().iter().map(|child| (child.clone(), depth)));
    }
    deepest
}

/// Returns how many nodes there are.
pub(super) fn count(root: &Handle) -> usize {
    let mut count = 0;
    walk(root, |_, _| {
        count += 1;
        true
    });
    count
}

/// Returns the text in an element, on one line.
pub(super) fn text_of(element: &Handle) -> String {
    let mut text = String::new();
    walk(element, |node, _| {
        if let NodeData::Text { contents } = &node.data {
            text.push_str(&contents.borrow());
        }
        true
    });
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a node is an element of a name.
pub(super) fn is(node: &Handle, wanted: &str) -> bool {
    match &node.data {
        NodeData::Element { name, .. } => name.ns == ns!(html) && &*name.local == wanted,
        _ => false,
    }
}

/// Shows the nodes of a tree in their order with their depth; below one only if `visit` says so.
fn walk(root: &Handle, mut visit: impl FnMut(&Handle, usize) -> bool) {
    let mut open = vec![(root.clone(), 0)];
    while let Some((node, depth)) = open.pop() {
        if visit(&node, depth) {
            open.extend(node.children.borrow().iter().rev().map(|child| (child.clone(), depth + 1)));
        }
    }
}

/// A tree in the making, which says when it is too deep or too large.
struct Bounded {
    tree: RcDom,
    elements: Cell<usize>,
    /// Contents of templates are trees of their own.
    templates: Cell<usize>,
    is_over: Rc<Cell<bool>>,
}

impl Bounded {
    fn new(is_over: Rc<Cell<bool>>) -> Self {
        Self { tree: RcDom::default(), elements: Cell::new(0), templates: Cell::new(0), is_over }
    }

    /// Looks how deep something is that is put below a node.
    fn look_above(&self, parent: &Handle) {
        let mut depth = 1;
        let mut above = parent_of(parent);
        while let Some(node) = above {
            depth += 1;
            if depth > MAX_DEPTH {
                self.is_over.set(true);
                return;
            }
            above = parent_of(&node);
        }
    }
}

fn parent_of(node: &Handle) -> Option<Handle> {
    let parent = node.parent.take();
    node.parent.set(parent.clone());
    parent.and_then(|parent| parent.upgrade())
}

impl TreeSink for Bounded {
    type Handle = Handle;
    type Output = RcDom;
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) -> RcDom {
        self.tree
    }

    // A page that is wrong is mended, and nobody asks what was wrong with it.
    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> Handle {
        self.tree.get_document()
    }

    fn elem_name<'a>(&'a self, target: &'a Handle) -> ExpandedName<'a> {
        self.tree.elem_name(target)
    }

    fn create_element(&self, name: QualName, attrs: Vec<Attribute>, flags: ElementFlags) -> Handle {
        self.elements.set(self.elements.get() + 1);
        self.templates.set(self.templates.get() + usize::from(flags.template));
        if self.elements.get() > MAX_ELEMENTS || self.templates.get() > MAX_DEPTH {
            self.is_over.set(true);
        }
        self.tree.create_element(name, attrs, flags)
    }

    fn create_comment(&self, text: StrTendril) -> Handle {
        self.tree.create_comment(text)
    }

    fn create_pi(&self, target: StrTendril, data: StrTendril) -> Handle {
        self.tree.create_pi(target, data)
    }

    fn append(&self, parent: &Handle, child: NodeOrText<Handle>) {
        if matches!(child, NodeOrText::AppendNode(_)) {
            self.look_above(parent);
        }
        self.tree.append(parent, child);
    }

    fn append_based_on_parent_node(&self, element: &Handle, previous: &Handle, child: NodeOrText<Handle>) {
        self.look_above(element);
        self.look_above(previous);
        self.tree.append_based_on_parent_node(element, previous, child);
    }

    fn append_doctype_to_document(&self, name: StrTendril, public_id: StrTendril, system_id: StrTendril) {
        self.tree.append_doctype_to_document(name, public_id, system_id);
    }

    fn get_template_contents(&self, target: &Handle) -> Handle {
        self.tree.get_template_contents(target)
    }

    fn same_node(&self, one: &Handle, two: &Handle) -> bool {
        self.tree.same_node(one, two)
    }

    fn set_quirks_mode(&self, mode: QuirksMode) {
        self.tree.set_quirks_mode(mode);
    }

    fn append_before_sibling(&self, sibling: &Handle, child: NodeOrText<Handle>) {
        self.look_above(sibling);
        self.tree.append_before_sibling(sibling, child);
    }

    fn add_attrs_if_missing(&self, target: &Handle, attrs: Vec<Attribute>) {
        self.tree.add_attrs_if_missing(target, attrs);
    }

    fn remove_from_parent(&self, target: &Handle) {
        self.tree.remove_from_parent(target);
    }

    fn reparent_children(&self, node: &Handle, new_parent: &Handle) {
        self.tree.reparent_children(node, new_parent);
    }

    fn is_mathml_annotation_xml_integration_point(&self, target: &Handle) -> bool {
        self.tree.is_mathml_annotation_xml_integration_point(target)
    }
}
