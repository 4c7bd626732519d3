// Draws clusters: each board with its shard and counters, and the time line of the last token.

const SVG = "http://www.w3.org/2000/svg";
const ROW = 16, LEFT = 52;

export function drawClusters(place, clusters) {
  while (place.children.length > clusters.length) place.lastChild.remove();
  clusters.forEach((cluster, number) => {
    const old = place.children[number];
    const box = old ?? place.appendChild(element("div", "cluster"));
    box.replaceChildren(...clusterParts(cluster, box.clientWidth));
  });
}

function clusterParts(cluster, width) {
  const title = element("h3", "", cluster.name);
  const facts = [cluster.state];
  if (cluster.chips.length) {
    facts.push(`${cluster.chips.length} ${cluster.is_simulated ? "simulated chips" : "boards"}`);
    facts.push(cluster.parallelism);
  }
  if (cluster.recoveries) facts.push(`${cluster.recoveries} recoveries`);
  if (cluster.restarts) facts.push(`opened again ${cluster.restarts} times`);
  const parts = [title, element("p", "", facts.join(" · "))];
  if (cluster.note) parts.push(element("p", "warning", cluster.note));
  if (cluster.error) parts.push(element("p", "error", `last failure: ${cluster.error}`));
  const boards = element("div", "boards");
  boards.append(...cluster.chips.map(board));
  parts.push(boards);
  if (cluster.token?.spans.length) parts.push(timeline(cluster, width), legend(cluster));
  return parts;
}

function board(chip) {
  const box = element("div", `board ${chip.state}`);
  const title = element("h4", "", `chip ${chip.id}`);
  title.append(element("span", "", chip.state));
  const list = element("dl");
  const rows = [["restarts", chip.restarts]];
  if (chip.heads !== undefined) {
    rows.unshift(
      ["heads", chip.heads], ["units", chip.units], ["rows", chip.rows],
      ["shard", kilobytes(chip.shard_bytes)], ["free heap", kilobytes(chip.heap_free)],
      ["frames in", chip.frames_received], ["frames out", chip.frames_sent],
      ["resends", chip.answers_retransmitted],
    );
  }
  for (const [name, value] of rows) {
    list.append(element("dt", "", name), element("dd", "", String(value)));
  }
  box.append(title, list);
  return box;
}

// width: in pixels, so that its words are as large on a phone as elsewhere.
function timeline(cluster, width) {
  const chips = cluster.chips.map((chip) => chip.id);
  const height = chips.length * ROW + 16;
  const total = Math.max(cluster.token.ms, 0.001);
  const figure = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "timeline", role: "img" });
  const title = svg("title", {});
  title.textContent = `What each chip did for the last token, ${total} ms`;
  figure.append(title);
  chips.forEach((chip, row) => {
    const label = svg("text", { x: 0, y: row * ROW + 11 });
    label.textContent = `chip ${chip}`;
    const track = { x: LEFT, y: row * ROW, width: width - LEFT, height: ROW - 3, class: "track" };
    figure.append(label, svg("rect", track));
  });
  const scale = (width - LEFT) / total;
  for (const [chip, label, start, end] of cluster.token.spans) {
    const row = chips.indexOf(chip);
    const bar = svg("rect", {
      x: LEFT + Math.max(0, start) * scale, y: row * ROW,
      width: Math.max(0.6, (end - Math.max(0, start)) * scale - 0.3), height: ROW - 3,
      class: label.split(" ")[0],
    });
    const words = svg("title", {});
    words.textContent = `${label}: ${(end - start).toFixed(1)} ms`;
    bar.append(words);
    figure.append(bar);
  }
  const end = svg("text", { x: width, y: height - 3, "text-anchor": "end" });
  end.textContent = `${total.toFixed(1)} ms`;
  figure.append(end);
  return figure;
}

function legend(cluster) {
  const line = element("div", "legend", "asked until answered, for the last token:");
  const labels = new Set(cluster.token.spans.map((span) => span[1].split(" ")[0]));
  for (const label of labels) {
    const pair = element("span");
    pair.append(element("i", label), label);
    line.append(" ", pair);
  }
  return line;
}

function kilobytes(bytes) {
  return `${(bytes / 1024).toFixed(bytes < 1024 * 1024 ? 1 : 0)} KB`;
}

export function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text) made.textContent = text;
  return made;
}

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
