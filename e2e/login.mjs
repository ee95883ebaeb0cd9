// A person who is sent to a provider to log in, with a real browser: node login.mjs URL
//
// Goes where it is led, agrees where a page asks, and prints what the last page says. A page asks by a button to
// continue; the last one is known by having none.

import { chromium } from 'playwright-core';

/** How long anything may take to be seen. */
const PATIENCE = 60_000;

const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
const executablePath = process.env.KEYHERD_TEST_CHROMIUM ?? '/usr/bin/chromium';
const browser = await chromium.launch({ executablePath, args: [...args, '--disable-dev-shm-usage'], timeout: PATIENCE });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  // Pages of the provider want letters from elsewhere.
  await page.route((url) => url.hostname !== '127.0.0.1', (route) => route.abort());
  await page.goto(process.argv[2]);
  const asks = page.getByRole('button', { name: 'Continue' });
  await asks.or(page.getByText(/keyherd|Success/)).first().waitFor();
  if (await asks.isVisible()) await asks.click();
  await asks.waitFor({ state: 'hidden' });
  const last = page.getByText(/keyherd|Success/).first();
  await last.waitFor();
  console.log(await last.textContent());
} finally {
  await browser.close();
}
