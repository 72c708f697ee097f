// Opens pages with Lighthouse, as a phone on a slow network, and tells how each does in every
// category, with the findings that cost something.
//
// ORIGIN, PAGES (JSON: paths), CATEGORIES (JSON), CHROME_PATH, SESSION (a cookie, or nothing). What
// stands behind a session is not for search engines, so that they may not see it costs nothing.
import { env } from "node:process";
import { launch } from "chrome-launcher";
import lighthouse from "lighthouse";
import puppeteer from "puppeteer-core";

const FLAGS = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage"];

async function signIn(port) {
  const browser = await puppeteer.connect({ browserURL: `http://localhost:${port}` });
  const [page] = await browser.pages();
  await page.setCookie({ name: "sessionid", value: env.SESSION, url: env.ORIGIN });
  await browser.disconnect();
}

async function look(path, port) {
  const flags = {
    port,
    onlyCategories: JSON.parse(env.CATEGORIES),
    skipAudits: env.SESSION ? ["is-crawlable"] : [],
    disableFullPageScreenshot: true,
    logLevel: "error",
  };
  const { lhr } = await lighthouse(env.ORIGIN + path, flags);
  if (lhr.runtimeError) throw new Error(`${path}: ${lhr.runtimeError.message}`);
  const scores = Object.entries(lhr.categories).map(([id, { score }]) => [id, 100 * score]);
  const address = lhr.finalDisplayedUrl;
  return { path, address, scores: Object.fromEntries(scores), findings: findings(lhr) };
}

function findings({ audits, categories }) {
  return Object.values(categories)
    .flatMap(({ auditRefs }) => auditRefs)
    .filter(({ id, weight }) => weight > 0 && audits[id].score !== null && audits[id].score < 1)
    .map(({ id }) => `${id} (${audits[id].score}): ${audits[id].displayValue ?? places(audits[id])}`);
}

function places({ title, details }) {
  return `${title} ${JSON.stringify(details?.items ?? []).slice(0, 600)}`;
}

const chrome = await launch({ chromeFlags: FLAGS, logLevel: "error" });
try {
  if (env.SESSION) await signIn(chrome.port);
  const pages = [];
  for (const path of JSON.parse(env.PAGES)) pages.push(await look(path, chrome.port));
  console.log(JSON.stringify({ pages }));
} finally {
  chrome.kill();
}
