// The terminal of a server's page: xterm.js on a websocket, opened with a ticket that is good once.
const shell = document.getElementById("shell");
if (shell) await start();

// xterm.js writes sizes and colours into <style> elements and style attributes, which our policy forbids. A style sheet
// that a script makes, and an element's own `style`, are no inline styles: on this page it is given those instead.
function withoutInlineStyles() {
  const create = document.createElement.bind(document);
  document.createElement = (name, options) => {
    if (name.toLowerCase() !== "style") return create(name, options);
    const stand = create("i");
    stand.hidden = true;
    const sheet = new CSSStyleSheet();
    document.adoptedStyleSheets.push(sheet);
    Object.defineProperty(stand, "textContent", { get: () => "", set: (text) => { sheet.replaceSync(text); } });
    const remove = stand.remove.bind(stand);
    stand.remove = () => {
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
      remove();
    };
    return stand;
  };
  const set = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    if (name === "style") this.style.cssText = value;
    else set.call(this, name, value);
  };
}

async function start() {
  withoutInlineStyles();
  const [{ Terminal }, { FitAddon }] = await Promise.all([import(shell.dataset.xterm), import(shell.dataset.fit)]);
  const said = document.getElementById("said");
  const again = document.getElementById("again");
  const terminal = new Terminal({
    cursorBlink: true,
    screenReaderMode: true,
    scrollback: 5000,
    fontSize: 14,
    fontFamily: 'ui-monospace, "DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace',
    theme: { background: "#0a0d13", foreground: "#e4e9f2" },
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(document.getElementById("terminal"));
  terminal.textarea?.setAttribute("aria-label", shell.dataset.name);
  fit.fit();
  let socket = null;

  terminal.attachCustomKeyEventHandler((event) => {
    if (!(event.ctrlKey && event.altKey && event.code === "KeyQ")) return true;
    if (event.type === "keydown") (again.hidden ? document.querySelector(".tabs a[aria-current]") : again).focus();
    return false;
  });
  const text = new TextEncoder();
  terminal.onData((typed) => { if (socket?.readyState === WebSocket.OPEN) socket.send(text.encode(typed)); });
  let telling = 0;
  function tellSize() {
    shell.dataset.size = `${terminal.rows} ${terminal.cols}`;
    clearTimeout(telling);
    telling = setTimeout(() => {
      if (shell.dataset.state === "open") socket.send(JSON.stringify({ size: [terminal.cols, terminal.rows] }));
    }, 300);
  }
  terminal.onResize(tellSize);
  new ResizeObserver(() => fit.fit()).observe(document.getElementById("terminal"));
  again.addEventListener("click", connect);
  connect();

  function tell(message, { over = false } = {}) {
    said.textContent = message;
    again.hidden = !over;
    shell.dataset.state = over ? "over" : message === shell.dataset.open ? "open" : "connecting";
  }

  async function connect() {
    tell(shell.dataset.connecting);
    let why = shell.dataset.lost;
    try {
      const body = new URLSearchParams({ _mark: shell.dataset.mark });
      const answer = await fetch(shell.dataset.tickets, { method: "POST", body, redirect: "error" });
      const ticket = await answer.json();
      if (!answer.ok) return tell(Object.values(ticket).flat().join(" "), { over: true });
      socket = new WebSocket(ticket.url);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        socket.send(JSON.stringify({ ticket: ticket.ticket }));
      };
      socket.onmessage = ({ data }) => {
        if (typeof data !== "string") return terminal.write(new Uint8Array(data));
        const message = JSON.parse(data);
        if (message.open) { tell(shell.dataset.open); tellSize(); terminal.focus(); }
        if (message.closed) why = message.closed;
      };
      socket.onclose = () => tell(why, { over: true });
    } catch {
      tell(why, { over: true });
    }
  }
}
