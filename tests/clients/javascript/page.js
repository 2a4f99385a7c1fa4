// Looks at the page in a browser, as a person would. Called with the address of the page and a directory for
// screenshots. Says what it waits for, a line each, and what it saw at last.

const assert = require("node:assert");
const path = require("node:path");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const [ADDRESS, SCREENSHOTS] = process.argv.slice(2);
const WIDE = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740 };

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Has the test do something, and waits until it has.
async function ask(what) {
  console.log(what);
  assert.strictEqual((await answers.next()).value, "done", what);
}

const shows = (page, selector, text) =>
  page.waitForFunction(([selector, text]) => document.querySelector(selector).textContent.includes(text), [selector, text]);

// What every line and its text alternative say.
const plots = (page) =>
  page.$$eval("main svg", (all) =>
    all.map((svg) => ({
      id: svg.parentElement.id,
      role: svg.getAttribute("role"),
      label: svg.getAttribute("aria-label"),
      lines: [...svg.querySelectorAll("path")].map((line) => line.getAttribute("d")),
    })),
  );

// The least contrast of any text with what is behind it (WCAG 2, 1.4.3), where colours are not see-through.
const contrast = (page) =>
  page.evaluate(() => {
    const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = (colour) => {
      const [r, g, b] = parse(colour).map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
      const colour = getComputedStyle(element).backgroundColor;
      return parse(colour)[3] === 0 && element.parentElement ? ground(element.parentElement) : colour;
    };
    let least = Infinity;
    for (const element of document.querySelectorAll("body *")) {
      if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
      if (element.closest("[hidden], script, noscript, svg")) continue;
      const [a, b] = [light(getComputedStyle(element).color), light(ground(element))].sort((x, y) => y - x);
      least = Math.min(least, (a + 0.05) / (b + 0.05));
    }
    return { least, ground: getComputedStyle(document.body).backgroundColor };
  });

async function open(browser, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  page.complaints = [];
  page.asked = [];
  page.on("console", (message) => page.complaints.push(message.text()));
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("requestfailed", (request) => page.complaints.push(`${request.url()} ${request.failure().errorText}`));
  page.on("request", (request) => page.asked.push(request.url()));
  await page.goto(ADDRESS);
  return page;
}

async function shoot(page, name) {
  await page.screenshot({ path: path.join(SCREENSHOTS, `${name}.png`), fullPage: true });
}

async function main() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  const page = await open(browser, { viewport: WIDE, colorScheme: "light" });
  await shows(page, "#state", "Connected to Redis at");
  await shows(page, "#state", "Redis reports changes");

  // What a client did just now is shown, and the lines move.
  const before = await plots(page);
  await ask("300 hits and 100 misses");
  await shows(page, "[data-of='requests.hit']", "300");
  await shows(page, "[data-of='misses.new']", "100 (100 %)");
  await shows(page, "#ratio b", "75.0 %");
  await shows(page, "#fill .now", "100 / ");
  await shows(page, "#advice", "75% of reads were hits. Of the others, 100% were first reads of their keys");
  // The figures are those of this moment. The lines grow sample by sample: these may be split between two, of
  // which the second is yet to come.
  await shows(page, "#ratio .now", "75.0 %");
  const after = await plots(page);
  assert.deepStrictEqual(after.map((plot) => plot.id), ["ratio", "requests", "hit", "miss", "fill", "clients"]);
  for (const [index, plot] of after.entries()) {
    assert.strictEqual(plot.role, "img");
    assert.match(plot.label, /.+: .+; .+ in 5 minutes/);
    assert.notDeepStrictEqual(plot.lines, before[index].lines, plot.id);
    for (const line of plot.lines) assert.match(line, /^M[\d.]+ [\d.]+h1/, plot.id);
  }
  assert.match(after[0].label, /Hit ratio: 75\.0 %/);
  await shows(page, "#reads tr:first-child span", "GET");
  await shoot(page, "wide-light");
  const wide = await contrast(page);

  // The same at other sizes and in the dark.
  const phone = await open(browser, { viewport: PHONE, colorScheme: "dark", isMobile: true, hasTouch: true });
  await shows(phone, "#ratio b", "75.0 %");
  // It was opened just now, and has the lines of the time before.
  const early = (await plots(phone)).find((plot) => plot.id === "hit").lines[0];
  assert.match(early, /^M/);
  const { scrolls, smallest } = await phone.evaluate(() => ({
    scrolls: document.documentElement.scrollWidth > innerWidth,
    smallest: Math.min(...[...document.querySelectorAll("p, td, th, small")].map((e) => parseFloat(getComputedStyle(e).fontSize))),
  }));
  assert.ok(!scrolls, "the page is wider than the telephone");
  assert.ok(smallest >= 12, `${smallest} px`);
  const dark = await contrast(phone);
  assert.notStrictEqual(dark.ground, wide.ground);
  for (const { least } of [wide, dark]) assert.ok(least >= 4.5, `a contrast of ${least}`);
  await shoot(phone, "phone-dark");

  // Whoever can't see it has the names of all that is there, and reaches all links by the keyboard.
  assert.strictEqual(await page.locator("html").getAttribute("lang"), "en");
  for (const [role, count] of [["heading", 7], ["table", 5], ["img", 6], ["link", 4], ["main", 1]]) {
    assert.strictEqual(await page.getByRole(role).count(), count, role);
  }
  for (const table of ["Misses by reason", "Entries removed by reason"]) {
    assert.strictEqual(await page.getByRole("table", { name: table }).count(), 1, table);
  }
  await page.keyboard.press("Tab");
  assert.strictEqual(await page.evaluate(() => document.activeElement.textContent), "/metrics");

  // A page that nobody sees asks for nothing.
  const hide = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await hide(true);
  await page.waitForLoadState("networkidle");
  const asked = page.asked.length;
  await page.waitForTimeout(1500);
  assert.strictEqual(page.asked.length, asked);
  await hide(false);
  await page.waitForRequest(/after=\d+/);

  // Nothing came from elsewhere, and nothing was complained of.
  for (const seen of [page, phone]) {
    assert.deepStrictEqual(seen.complaints, []);
    assert.deepStrictEqual(seen.asked.filter((url) => !url.startsWith(ADDRESS)), []);
  }

  await ask("Redis is stopped");
  await shows(page, "#state", "is unreachable. Only cached values are served");
  await ask("the proxy is stopped");
  await page.getByRole("alert").waitFor();
  await shoot(page, "alone");
  await ask("the proxy is started again");
  await page.getByRole("alert").waitFor({ state: "hidden" });
  // It counts anew, and so do the figures and the lines.
  await page.waitForFunction(() => document.querySelector("[data-of='requests.hit']").textContent === "0");
  await shows(page, "#hit .range", "no values");
  await shows(page, "#ratio .now", "–");
  await browser.close();
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
