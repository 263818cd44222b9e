// What a page must not do: complain on its console, break its own security
// policy, ask another host, or ask for what is refused.

export class Watch {
  #log;
  #problems = [];
  #expected = []; // {url: a part of it, why}

  constructor(log) {
    this.#log = log;
  }

  // expect says that requests for such URLs may fail from now on.
  expect(url, why) {
    this.#expected.push({ url, why });
  }

  // forget ends that.
  forget() {
    this.#expected = [];
  }

  // take returns what was found since it was last asked.
  take() {
    return this.#problems.splice(0);
  }

  async page(page, name, origin) {
    const say = (kind, text, url = "") => this.#log(`${new Date().toISOString()} ${name} ${kind}: ${text} ${url}`.trimEnd());
    const problem = (kind, text, url = "") => {
      const expected = this.#expected.find((e) => url.includes(e.url));
      say(expected ? `${kind} (expected: ${expected.why})` : kind, text, url);
      if (!expected) this.#problems.push(`${name}: ${kind}: ${text} ${url}`.trimEnd());
    };
    page.on("console", (message) => {
      const { url } = message.location();
      if (message.type() === "error" || message.type() === "warning") problem(`console ${message.type()}`, message.text(), url);
      else say(`console ${message.type()}`, message.text(), url);
    });
    page.on("pageerror", (error) => problem("uncaught", error.stack ?? String(error), page.url()));
    page.on("crash", () => problem("crash", page.url()));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.origin !== origin && url.protocol !== "data:" && url.protocol !== "blob:") problem("request to another host", request.method(), request.url());
    });
    page.on("requestfailed", (request) => {
      const text = request.failure()?.errorText ?? "failed";
      // A page that is left ends its stream, and what it was still asking for.
      if (text === "net::ERR_ABORTED") say("request aborted", request.method(), request.url());
      else problem("request failed", `${request.method()} ${text}`, request.url());
    });
    page.on("response", (response) => {
      if (response.status() >= 400) problem("response", `${response.request().method()} ${response.status()}`, response.url());
    });
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (e) => {
        console.error(`security policy: ${e.effectiveDirective} forbids ${e.blockedURI} in ${e.sourceFile}:${e.lineNumber} (${e.sample})`);
      });
    });
  }
}
