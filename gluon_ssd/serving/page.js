"use strict";
const at = (id) => document.getElementById(id);
const colours = JSON.parse(document.body.dataset.colours);
let known = null, about = null, answer = null, file = null, address = null, latest = 0;
const hidden = new Set();

function headers() {
  const token = at("token").value.trim();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

function say(status, problem = "") {
  at("status").textContent = status;
  at("problem").textContent = problem;
}

async function askModels() {
  const response = await fetch("v1/models", { headers: headers() });
  at("access").hidden = response.status !== 401 && !at("token").value;
  if (response.status === 401) return say("", at("token").value ? "That token is wrong." : "");
  if (!response.ok) return say("", `The server answered ${response.status}.`);
  about = await response.json();
  const model = about.models[0];
  at("model").textContent = model.name;
  at("classes-count").textContent = `${model.classes.length} classes`;
  at("score").min = Math.ceil(model.lowest_score_threshold * 100) / 100;
  at("score").value = model.score_threshold;
  say("No image yet.");
}

async function detect(chosen) {
  if (!chosen) return;
  // Answers may overtake each other, and only the one for the latest image counts.
  const turn = ++latest;
  at("result").hidden = true;
  await known;
  if (chosen.type && !chosen.type.startsWith("image/")) {
    return say("", `${chosen.name} is not an image. Choose a photo: JPEG, PNG, WebP and others.`);
  }
  if (about && chosen.size > about.limits.max_bytes) {
    const sizes = [chosen.size, about.limits.max_bytes].map((size) => (size / 1e6).toFixed(1));
    return say("", `${chosen.name} has ${sizes[0]} MB; the server takes up to ${sizes[1]} MB.`);
  }
  say(`Looking at ${chosen.name} …`);
  let body, response;
  try {
    const lowest = about ? `?score_threshold=${about.models[0].lowest_score_threshold}` : "";
    const type = { "Content-Type": chosen.type || "application/octet-stream", Accept: "application/json" };
    response = await fetch(`v1/detect${lowest}`, {
      method: "POST", body: chosen, headers: { ...headers(), ...type },
    });
    body = await response.json();
  } catch (error) {
    return turn === latest && say("", "The server cannot be reached; is it still running?");
  }
  if (turn !== latest) return;
  if (response.status === 401) await askModels();
  if (!response.ok) return say("", body.error.replace(/^image: /, `${chosen.name}: `));
  file = chosen;
  answer = body.images[0];
  showImage();
  showFilter();
  at("result").hidden = false;
  show();
}

function showImage() {
  if (address) URL.revokeObjectURL(address);
  address = URL.createObjectURL(file);
  // Small images are enlarged, and tall ones fit on the screen.
  const { width, height } = answer;
  at("frame").style.width = `min(100%, ${80 * width / height}vh, ${Math.max(width, 560)}px)`;
  at("image").alt = `The image ${file.name}`;
  at("image").src = address;
}

function showFilter() {
  hidden.clear();
  const names = [...new Set(answer.detections.map((found) => found.name))].sort();
  at("filter").replaceChildren(...names.map((name) => {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => { box.checked ? hidden.delete(name) : hidden.add(name); show(); });
    label.append(box, name);
    return label;
  }));
}

function show() {
  const least = Number(at("score").value);
  at("score-value").textContent = least.toFixed(2);
  if (!answer) return;
  const found = answer.detections.filter((one) => one.score >= least && !hidden.has(one.name));
  // The best is drawn last, on top of the others.
  at("boxes").replaceChildren(...found.map(asBox).reverse());
  at("rows").replaceChildren(...found.map(asRow));
  at("json").textContent = JSON.stringify({ ...answer, name: file.name, detections: found }, null, 2);
  at("curl").textContent = command(least);
  say(`${found.length} of ${answer.detections.length} objects shown${summary(found)}.`);
}

function summary(found) {
  const counts = new Map();
  for (const { name } of found) counts.set(name, (counts.get(name) || 0) + 1);
  const words = [...counts].sort((a, b) => b[1] - a[1]).map(([name, count]) => `${count} ${name}`);
  return words.length ? `: ${words.join(", ")}` : "";
}

function ink([red, green, blue]) {
  const [r, g, b] = [red, green, blue].map((level) => {
    const share = level / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  // Where black and white differ from a colour by the same contrast, its luminance is 0.179.
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

function asBox({ name, class_id, score, xyxy: [left, top, right, bottom] }) {
  const box = document.createElement("div"), label = document.createElement("span");
  const colour = `rgb(${colours[class_id]})`, { width, height } = answer;
  box.className = "box";
  // A label stands above its box where there is room, and grows to the left on the right side.
  box.classList.toggle("above", top > 0.06 * height);
  box.classList.toggle("right", left > 0.6 * width);
  Object.assign(box.style, {
    left: `${100 * left / width}%`, top: `${100 * top / height}%`,
    width: `${100 * (right - left) / width}%`, height: `${100 * (bottom - top) / height}%`, borderColor: colour,
  });
  label.textContent = `${name} ${score.toFixed(2)}`;
  Object.assign(label.style, { background: colour, color: ink(colours[class_id]) });
  box.append(label);
  return box;
}

function asRow({ name, class_id, score, xyxy }) {
  const row = document.createElement("tr"), swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.style.background = `rgb(${colours[class_id]})`;
  const [first, ...others] = [name, score.toFixed(2), xyxy.map((side) => side.toFixed(0)).join(", ")].map((text) => {
    const cell = document.createElement("td");
    cell.textContent = text;
    return cell;
  });
  first.prepend(swatch);
  row.append(first, ...others);
  return row;
}

function command(least) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const token = at("token").value.trim() ? ` -H "Authorization: Bearer $TOKEN"` : "";
  const url = new URL(`v1/detect?score_threshold=${least}`, location.href);
  const kind = file.type || "application/octet-stream";
  return `curl --data-binary ${quoted(`@${file.name}`)} -H 'Content-Type: ${kind}'${token} ${quoted(url.href)}`;
}

for (const id of ["file", "camera"]) {
  at(id).addEventListener("change", (event) => { detect(event.target.files[0]); event.target.value = ""; });
}
at("score").addEventListener("input", show);
at("access").addEventListener("submit", (event) => { event.preventDefault(); askModels(); });
at("image").addEventListener("error", () => {
  at("problem").textContent = "This browser cannot show such an image; the table below has what was found.";
});
at("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(at("curl").textContent);
    at("copy").textContent = "Copied";
  } catch {
    // Browsers give the clipboard to pages of https and of this machine alone; then the text is selected.
    getSelection().selectAllChildren(at("curl"));
    at("copy").textContent = "Selected";
  }
  setTimeout(() => { at("copy").textContent = "Copy"; }, 2000);
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") detect(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) detect(event.clipboardData.files[0]);
});
known = askModels();
