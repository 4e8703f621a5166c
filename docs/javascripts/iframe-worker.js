// Browsers start no worker for a page that was opened as a file. There the search works in a hidden frame instead,
// which behaves like a worker. The name tells the theme that it need not fetch such a script from another host.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.answer = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      frame.srcdoc =
        "<script>postMessage = (data) => frameElement.answer(data)</script>" +
        `<script src="${new URL(url, location.href)}"></script>`;
      // What is sent before the script is there waits for it.
      const loaded = new Promise((resolve) => (frame.onload = resolve));
      this.postMessage = async (data) => {
        await loaded;
        frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
      };
      document.body.append(frame);
    }
  };
}
