// A page with a chat, without its browser: `node chat.mjs VERSION ADDRESS KEY`. It reads steps from its input, a JSON
// object a line, and tells what they ask for on its output, a line each.
import { createInterface } from 'node:readline';

const [version, address, key] = process.argv.slice(2);
const ai = await import(`ai-${version}`);
const headers = { authorization: `Bearer ${key}` };

class State {
  status = 'ready';
  error = undefined;
  messages;

  constructor(messages) {
    this.messages = messages;
  }

  pushMessage = (message) => {
    this.messages = [...this.messages, message];
  };
  popMessage = () => {
    this.messages = this.messages.slice(0, -1);
  };
  replaceMessage = (index, message) => {
    this.messages = this.messages.with(index, message);
  };
  snapshot = (value) => structuredClone(value);
}

class Statuses extends State {
  seen = ['ready'];

  constructor(messages) {
    super(messages);
    let status = 'ready';
    Object.defineProperty(this, 'status', {
      get: () => status,
      set: (next) => {
        status = next;
        this.seen.push(next);
      },
    });
  }
}

class Chat extends ai.AbstractChat {
  constructor(options) {
    super(options);
  }
}

const goesOnByItself = (options) =>
  ai.lastAssistantMessageIsCompleteWithToolCalls(options) ||
  (ai.lastAssistantMessageIsCompleteWithApprovalResponses?.(options) ?? false);

const data = [];

function open(id, messages) {
  const state = new Statuses(messages);
  const transport = new ai.DefaultChatTransport({ api: `${address}/api/chat`, headers });
  const onData = (part) => data.push(part);
  const chat = new Chat({ id, state, transport, onData, onError: () => {}, sendAutomaticallyWhen: goesOnByItself });
  return { chat, state };
}

const textOf = (message) => message?.parts.map((part) => part.text ?? '').join('') ?? '';
const pause = () => new Promise((resolve) => setTimeout(resolve, 5));

async function until(met) {
  while (!met()) await pause();
}

let page = open('chat-1', []);
let pending = Promise.resolve();
const last = () => page.chat.messages.at(-1);
const call = () => last().parts.findLast((part) => part.toolCallId !== undefined);

const steps = {
  open: async ({ id }) => {
    page = open(id, []);
  },
  // Says something, and goes on with the next step at once.
  begin: async ({ text, files, messageId }) => {
    pending = page.chat.sendMessage({ text, files, messageId });
  },
  send: async (step) => {
    await page.chat.sendMessage({ text: step.text, files: step.files, messageId: step.messageId });
  },
  // Waits until what was begun has ended.
  done: async () => {
    await pending;
    await until(() => page.chat.status === 'ready' || page.chat.status === 'error');
  },
  until: async ({ text }) => until(() => textOf(last()).includes(text)),
  // Waits until what goes on by itself has come to its end.
  settled: async ({ text }) =>
    until(() => page.chat.status === 'ready' && textOf(last()).includes(text)),
  // Opens the page anew, as a browser does that has lost everything.
  reload: async () => {
    const response = await fetch(`${address}/api/chat/${page.chat.id}`, { headers });
    page = open(page.chat.id, await response.json());
    pending = page.chat.resumeStream();
  },
  approve: async ({ approved, reason }) => {
    await page.chat.addToolApprovalResponse({ id: call().approval.id, approved, reason });
  },
  output: async ({ tool, output }) => {
    const add = (page.chat.addToolOutput ?? page.chat.addToolResult).bind(page.chat);
    await add({ tool, toolCallId: call().toolCallId, output });
  },
  regenerate: async () => {
    await page.chat.regenerate();
  },
  stop: async () => {
    await page.chat.stop();
  },
  print: async ({ line }) => console.log(JSON.stringify(line)),
  report: async () => {
    const { messages, status, error } = page.chat;
    const report = { messages, status, error: error?.message, statuses: page.state.seen, data };
    console.log(JSON.stringify(report));
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const step = JSON.parse(line);
  await steps[step.do](step);
}
process.exit(0);
