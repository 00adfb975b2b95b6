//! Asking for a value until the answer fits.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Mend, Object, ObjectOptions, find, target::Target};
use crate::term::Term;
use crate::{
    Error, ErrorKind, FinishReason, Format, LanguageModel, Message, Part, Reply, Request, Result, Role,
    SchemaSupport, ToolChoice, ToolOutput, ToolResult, ToolSpec, Usage,
};

/// The conversation about one value.
#[derive(Debug)]
pub(super) struct Exchange<'model> {
    pub(super) model: &'model dyn LanguageModel,
    pub(super) request: Request,
    pub(super) target: Target,
    pub(super) support: SchemaSupport,
    /// All calls have one time.
    term: Term,
    mend: Option<Mend>,
    repairs_left: u32,
    calls: u32,
    usage: Usage,
}

impl<'model> Exchange<'model> {
    pub(super) fn new(
        model: &'model dyn LanguageModel,
        request: Request,
        target: Target,
        options: &ObjectOptions,
    ) -> Self {
        let support = options.support.unwrap_or_else(|| model.schema_support());
        let request = prepare(request, &target, support);
        let repairs_left = options.max_repairs;
        let term = Term::new(model.name(), &options.clock, &request.settings, &request.cancel);
        let mend = options.mend.clone();
        Self { model, request, target, support, term, mend, repairs_left, calls: 0, usage: Usage::default() }
    }

    /// Asks until an answer fits or no repairs are left.
    pub(super) async fn run<T: DeserializeOwned>(mut self) -> Result<Object<T>> {
        loop {
            let asked = async { self.model.generate(self.next_request()?).await };
            let reply = asked.await.map_err(|error| error.with_more_usage(&self.usage))?;
            if let Some(object) = self.take(reply)? {
                return Ok(object);
            }
        }
    }

    /// Returns what to ask now, with no more time than is left.
    pub(super) fn next_request(&self) -> Result<Request> {
        self.term.check()?;
        let settings = self.term.settings(&self.request.settings);
        Ok(Request { settings, ..self.request.clone() })
    }

    /// Takes an answer: returns its value, or prepares to ask again.
    pub(super) fn take<T: DeserializeOwned>(&mut self, reply: Reply) -> Result<Option<Object<T>>> {
        self.count(&reply);
        if let Some(error) = self.hopeless(&reply) {
            return Err(error.with_all_usage(&self.usage).with_partial(reply));
        }
        let typed = |json: Value| match T::deserialize(&json) {
            Ok(value) => Ok((value, json)),
            Err(error) => Err(format!("the value does not fit its type: {error}")),
        };
        let read = self.read(&reply).and_then(typed);
        let read = read.or_else(|wrong| match self.mended(&reply, &wrong) {
            Some(mended) => mended.and_then(typed).map_err(|_| wrong),
            None => Err(wrong),
        });
        match read {
            Ok((value, json)) => {
                let (usage, calls) = (self.usage.clone(), self.calls);
                Ok(Some(Object { value, json, reply, usage, calls }))
            }
            Err(wrong) if self.repairs_left == 0 => {
                let calls = self.calls;
                let text = format!("the answer does not fit its schema, after {calls} calls: {wrong}");
                let error = self.error(ErrorKind::InvalidOutput, text).with_all_usage(&self.usage);
                Err(error.with_partial(reply))
            }
            Err(wrong) => {
                self.repairs_left -= 1;
                self.tell(reply, &wrong);
                Ok(None)
            }
        }
    }

    /// Returns the value of an answer, or what is wrong with it.
    pub(super) fn read(&self, reply: &Reply) -> Result<Value, String> {
        let call = reply.tool_calls().find(|call| call.name == self.target.output.name);
        match call {
            Some(call) => match &call.invalid {
                Some(why) => Err(why.clone()),
                None => self.target.check(call.input.clone()),
            },
            None => find::find(&reply.text(), |value| self.target.check(value)),
        }
    }

    /// Returns what the caller makes of an answer that does not fit, if anything.
    fn mended(&self, reply: &Reply, wrong: &str) -> Option<Result<Value, String>> {
        let mend = self.mend.as_ref()?;
        let call = reply.tool_calls().find(|call| call.name == self.target.output.name);
        let text = match call.map(|call| &call.input) {
            // What was no JSON is kept as it was written.
            Some(Value::String(text)) => text.clone(),
            Some(input) => input.to_string(),
            None => reply.text(),
        };
        let mended = mend.0(&text, wrong)?;
        Some(find::find(&mended, |value| self.target.check(value)))
    }

    pub(super) fn error(&self, kind: ErrorKind, text: impl Into<String>) -> Error {
        let name = self.model.name();
        Error::new(kind, &name.provider, &name.model, text)
    }

    /// Returns the error of an answer that asking again would not mend.
    pub(super) fn hopeless(&self, reply: &Reply) -> Option<Error> {
        let limit = self.request.settings.max_output_tokens;
        let limit = limit.map_or_else(String::new, |limit| format!(" of {limit} tokens"));
        Some(match reply.finish.reason {
            FinishReason::Length => {
                let text =
                    format!("the answer was cut off at the limit{limit}; `max_output_tokens` is too low");
                self.error(ErrorKind::InvalidOutput, text)
            }
            FinishReason::Refusal => {
                self.error(ErrorKind::ContentPolicy, format!("the model refused: {}", reply.text()))
            }
            FinishReason::ContentFilter => {
                self.error(ErrorKind::ContentPolicy, "a filter of the provider stopped the answer")
            }
            _ => return None,
        })
    }

    pub(super) fn count(&mut self, reply: &Reply) {
        self.calls += 1;
        self.usage += reply.usage();
    }

    /// Adds an answer and what is wrong with it to the conversation.
    fn tell(&mut self, reply: Reply, wrong: &str) {
        let text = format!(
            "That answer can't be used: {wrong}. Answer again with the whole value, so that it fits the schema."
        );
        let refused = ToolOutput::error(text.as_str());
        let results: Vec<ToolResult> =
            reply.tool_calls().map(|call| ToolResult::new(call, refused.clone())).collect();
        if !reply.parts.is_empty() {
            self.request.messages.push(Message::new(Role::Assistant, reply.parts));
        }
        let told = if results.is_empty() { Message::user(text) } else { Message::tool(results) };
        self.request.messages.push(told);
    }
}

/// Makes a request one for a value.
fn prepare(mut request: Request, target: &Target, support: SchemaSupport) -> Request {
    match support {
        SchemaSupport::Native => {
            request.format = Format::Schema(target.output.clone());
            request.tool_choice = ToolChoice::None;
        }
        SchemaSupport::Tool => {
            let output = &target.output;
            let what = output.description.as_deref().unwrap_or("Takes the answer.");
            request.tools.push(ToolSpec::function(&output.name, what, output.schema.clone()));
            request.tool_choice = ToolChoice::Tool { name: output.name.clone() };
            request.format = Format::Text;
        }
        SchemaSupport::Prompt => {
            let about = target.output.description.as_ref();
            let about = about.map_or_else(String::new, |about| format!(" The value is: {about}"));
            let text = format!(
                "Answer with one JSON value that fits the JSON schema below, and with nothing else: no words \
                 before or after it, no fence.{about}\n\n{}",
                target.schema
            );
            // Right behind the caller's own instructions, where every provider takes one.
            let end = request.messages.iter().position(|message| message.role != Role::System);
            let end = end.unwrap_or(request.messages.len());
            request.messages.insert(end, Message::new(Role::System, [Part::text(text)]));
            request.tool_choice = ToolChoice::None;
            request.format = Format::Text;
        }
    }
    request
}
