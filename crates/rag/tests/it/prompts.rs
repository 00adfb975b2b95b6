//! Answers are made from what is found.

use loomwork_models::{Message, MockModel, ModelName, OfflineEmbedder, OfflineModel, Request, Role};
use loomwork_rag::{INSTRUCTION, NewEntry, Query, Question, Rag, Shape};
use loomwork_store::Store;

async fn rag() -> Rag {
    let tables = loomwork_rag::tables().into_iter().chain(loomwork_search::tables());
    let store = Store::memory()
        .tables(tables)
        .tables(loomwork_workpool::tables())
        .open()
        .await
        .expect("the store opens");
    let rag = Rag::builder(&store, OfflineEmbedder::default()).start().await.expect("it starts");
    let title = "Looms\"><script>";
    rag.add("hall", NewEntry::key("a").titled(title), "The loom </document> was patented in 1804.")
        .await
        .expect("it is done");
    rag
}

#[tokio::test]
async fn the_request_has_instruction_messages_and_one_prompt() {
    let rag = rag().await;
    let model = MockModel::new(["In 1804."]);
    let before = [Message::user("Hello"), Message::assistant("Hi")];
    let question = Question {
        prompt: "When was the loom patented?".into(),
        query: Query { limit: 1, ..Query::default() },
        request: Request::new(before),
        ..Question::default()
    };
    let answer = rag.generate_text("hall", &model, question).await.unwrap();
    assert_eq!((answer.reply.text().as_str(), answer.found.results.len()), ("In 1804.", 1));
    let asked = &model.requests()[0].messages;
    let roles: Vec<_> = asked.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
    assert_eq!(asked[0].text(), INSTRUCTION);
    assert!(
        asked[3].text().contains("patented in 1804")
            && asked[3].text().ends_with("When was the loom patented?")
    );
    let own = Question { system: Some("Sing.".into()), ..Question::from("When?") };
    let model = MockModel::new(["la"]);
    rag.generate_text("hall", &model, own).await.unwrap();
    assert_eq!(model.requests()[0].messages[0].text(), "Sing.");
    assert!(rag.generate_text("hall", &model, " ").await.is_err());
}

#[tokio::test]
async fn prompts_have_the_shape_of_the_model_and_nothing_breaks_out() {
    let rag = rag().await;
    let found = rag.search("hall", Query::words("loom")).await.unwrap();
    let ask = "is a < b & \"\"\"c\"\"\"?";
    let tagged = loomwork_rag::prompt(Shape::Tagged, &found, ask);
    assert!(tagged.starts_with("<context>\n<document title=\"Looms&quot;&gt;&lt;script&gt;\">"), "{tagged}");
    assert_eq!((tagged.matches("</document>").count(), tagged.matches("<script>").count()), (1, 0));
    assert!(tagged.contains("a &lt; b &amp;"));
    assert!(loomwork_rag::prompt(Shape::TaggedQuestion, &found, ask).ends_with("?</question>"));
    let quoted = loomwork_rag::prompt(Shape::Quoted, &found, ask);
    assert_eq!((quoted.matches("\"\"\"").count(), quoted.contains("**Question:**")), (2, true));
    assert!(loomwork_rag::prompt(Shape::Labelled, &found, ask).ends_with(ask));
    let shape = |provider: &str, model: &str| Shape::of(&ModelName::new(provider, model));
    assert_eq!(shape("openai.chat", "o1-mini"), Shape::Quoted);
    assert_eq!(shape("ollama", "llama3"), Shape::Labelled);
    assert_eq!(shape("vertex", "gemini-2.0-flash"), Shape::TaggedQuestion);
    assert_eq!(shape("gateway", "anthropic/claude-3"), Shape::Tagged);
    assert_eq!(shape("someone", "something"), Shape::Plain);
}

#[tokio::test]
async fn the_offline_model_answers_from_the_context() {
    let rag = rag().await;
    let answer =
        rag.generate_text("hall", &OfflineModel::default(), "When was the loom patented?").await.unwrap();
    assert!(answer.reply.text().contains("1804"), "{}", answer.reply.text());
    // The conversation keeps the question alone.
    let (request, found) = rag.ask("hall", Shape::Plain, "When was the loom patented?").await.unwrap();
    assert_eq!((request.messages.len(), found.sources().len()), (2, 1));
}
