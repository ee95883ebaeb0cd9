// Asks one question with Node's own fetch: node ask.mjs BASE_URL [--stream] [--echo]
//
// The key stands in the environment, as KEY. Prints one line of JSON: the text and in how many events it came; `--echo`
// adds what the answers said the key was. A proxy in the environment is heeded by Node itself where it can do so, and
// told to be (NODE_USE_ENV_PROXY); by undici's agent otherwise.

const [base, ...flags] = process.argv.slice(2);
const stream = flags.includes('--stream');
if (process.env.HTTPS_PROXY && !process.allowedNodeEnvironmentFlags.has('--use-env-proxy')) {
  const { EnvHttpProxyAgent, setGlobalDispatcher } = await import('undici');
  setGlobalDispatcher(new EnvHttpProxyAgent());
}
const answer = await fetch(`${base}/chat/completions`, {
  method: 'POST',
  headers: { authorization: `Bearer ${process.env.KEY}`, 'content-type': 'application/json' },
  body: JSON.stringify({ model: 'stand-in', stream, messages: [{ role: 'user', content: 'say hello' }] }),
});
if (!answer.ok) {
  console.log(JSON.stringify({ error: 'status', status: answer.status }));
} else if (!stream) {
  const { id, choices } = await answer.json();
  tell(choices[0].message.content, 1, [id]);
} else {
  const echo = new Set();
  let [text, parts, rest] = ['', 0, ''];
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + chunk).split('\n\n');
    rest = events.pop();
    for (const event of events.map((event) => event.replace(/^data: /, '')).filter((event) => event !== '[DONE]')) {
      const { id, choices } = JSON.parse(event);
      text += choices[0].delta.content;
      parts += 1;
      echo.add(id);
    }
  }
  tell(text, parts, [...echo]);
}

function tell(text, parts, echo) {
  console.log(JSON.stringify({ text, parts, ...(flags.includes('--echo') && { echo }) }));
}
