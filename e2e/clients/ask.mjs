// Asks one question with Node's own fetch, through a gateway: node ask.mjs BASE_URL [--stream]
//
// The key stands in the environment, as KEY. Prints one line of JSON: the text, and in how many events it came.

const [base, ...flags] = process.argv.slice(2);
const stream = flags.includes('--stream');
const answer = await fetch(`${base}/chat/completions`, {
  method: 'POST',
  headers: { authorization: `Bearer ${process.env.KEY}`, 'content-type': 'application/json' },
  body: JSON.stringify({ model: 'stand-in', stream, messages: [{ role: 'user', content: 'say hello' }] }),
});
if (!answer.ok) {
  console.log(JSON.stringify({ error: 'status', status: answer.status }));
} else if (!stream) {
  console.log(JSON.stringify({ text: (await answer.json()).choices[0].message.content, parts: 1 }));
} else {
  let [text, parts, rest] = ['', 0, ''];
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + chunk).split('\n\n');
    rest = events.pop();
    for (const event of events.map((event) => event.replace(/^data: /, '')).filter((event) => event !== '[DONE]')) {
      text += JSON.parse(event).choices[0].delta.content;
      parts += 1;
    }
  }
  console.log(JSON.stringify({ text, parts }));
}
