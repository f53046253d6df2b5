"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const unique = (values) => [...new Set(values)];
  const shown = (value) => (value === null || value === undefined ? "–" : Math.abs(value) >= 1000 ? value.toPrecision(3) : value.toFixed(3));
  const SVG = "http://www.w3.org/2000/svg";

  // Texts are only ever set as text, never as markup: they come from data.
  function element(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "text") node.textContent = value;
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }
  function drawn(tag, attributes = {}, text) {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }
  const style = (method) => data.styles[method] || { colour: "#000000", line: "-", order: 99, short: method };
  const byMethod = (a, b) => style(a).order - style(b).order || (a < b ? -1 : 1);
  const dashes = { "-": "", "--": "6 3", ":": "2 3", "-.": "6 3 2 3" };

  // --- filters ---------------------------------------------------------------------------------------------------
  const state = { dataset: "", model: "", method: "", metric: "", controls: true, view: "wide", sort: null, down: true };
  for (const key of ["dataset", "model", "method", "metric"]) {
    const select = element("select", { id: `filter-${key}`, onchange: (event) => { state[key] = event.target.value; draw(); } });
    select.append(element("option", { value: "", text: "all" }));
    const values = unique(data.rows.map((row) => row[key]));
    values.sort(key === "method" ? byMethod : undefined);
    for (const value of values) select.append(element("option", { value, text: value }));
    $("filters").append(element("label", { text: key }, select));
  }
  const controls = element("select", { id: "filter-controls", onchange: (event) => { state.controls = event.target.value === "shown"; draw(); } });
  for (const value of ["shown", "hidden"]) controls.append(element("option", { value, text: value }));
  $("filters").append(element("label", { text: "controls" }, controls));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => {
      state.view = button.dataset.view; state.sort = null;
      for (const other of document.querySelectorAll("[data-view]")) other.setAttribute("aria-pressed", String(other === button));
      draw();
    });
  }
  const chosen = () => data.rows.filter((row) =>
    ["dataset", "model", "method", "metric"].every((key) => !state[key] || row[key] === state[key]) && (state.controls || !row.control));

  // --- tables ----------------------------------------------------------------------------------------------------
  function cellOf(row, withInterval) {
    const cell = element("td", { class: "number" });
    if (!row) return cell;
    const mark = row.standing;
    const few = row.stimuli < data.few ? "*" : "";
    const interval = withInterval && row.ci_low !== null ? ` [${shown(row.ci_low)}, ${shown(row.ci_high)}]` : "";
    const text = `${mark === "tied" ? "~" : ""}${shown(row.mean)}${few}`;
    cell.append(mark === "best" ? element("strong", { text }) : text, interval);
    cell.title = `${row.metric}: n = ${row.n}${row.planned && row.planned > row.n ? ` of ${row.planned}` : ""}` +
      `${row.ci_low === null ? "" : `, 95 % [${shown(row.ci_low)}, ${shown(row.ci_high)}]`}` +
      `${row.chance === null ? "" : `, chance ${shown(row.chance)}`}` +
      Object.entries(row.left_out).map(([key, count]) => `, ${key.slice(2)} ${count}`).join("");
    return cell;
  }
  function header(columns) {
    const line = element("tr");
    for (const column of columns) {
      const attributes = { scope: "col", class: column.number ? "number" : "" };
      if (state.sort === column.key) attributes["aria-sort"] = state.down ? "descending" : "ascending";
      const button = element("button", { type: "button", text: column.name, onclick: () => {
        state.down = state.sort === column.key ? !state.down : Boolean(column.number);
        state.sort = column.key; draw();
      } });
      line.append(element("th", attributes, button));
    }
    return element("thead", {}, line);
  }
  function sorted(lines, value) {
    if (state.sort === null) return lines;
    const sign = state.down ? -1 : 1;
    return lines.slice().sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === y) return 0;
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return x < y ? -sign : sign;
    });
  }
  function wideTable(rows) {
    const metrics = unique(rows.map((row) => row.metric));
    const lines = new Map();
    for (const row of rows) {
      const key = JSON.stringify([row.dataset, row.model, row.method]);
      if (!lines.has(key)) lines.set(key, { dataset: row.dataset, model: row.model, method: row.method, control: row.control, cells: {} });
      lines.get(key).cells[row.metric] = row;
    }
    const ranks = new Map(data.ranks.map((one) => [JSON.stringify([one.dataset, one.model, one.method]), one]));
    for (const [key, line] of lines) line.rank = ranks.get(key);
    const arrows = Object.fromEntries(rows.map((row) => [row.metric, row.direction === "higher" ? "↑" : "↓"]));
    const columns = [
      { key: "dataset", name: "dataset" }, { key: "model", name: "model" }, { key: "method", name: "method" },
      { key: "rank", name: "mean rank", number: true },
      ...metrics.map((metric) => ({ key: `metric ${metric}`, name: `${metric} ${arrows[metric]}`, number: true })),
    ];
    const value = (line) => {
      if (state.sort === "rank") return line.rank ? line.rank.rank : null;
      if (state.sort.startsWith("metric ")) { const row = line.cells[state.sort.slice(7)]; return row ? row.mean : null; }
      return line[state.sort];
    };
    let order = [...lines.values()];
    order.sort((a, b) => (a.dataset + a.model < b.dataset + b.model ? -1 : a.dataset + a.model > b.dataset + b.model ? 1 : byMethod(a.method, b.method)));
    order = sorted(order, value);
    const body = element("tbody");
    for (const line of order) {
      const rank = element("td", { class: "number", text: line.rank ? `${line.rank.rank.toFixed(1)}` : "–" });
      if (line.rank && line.rank.low !== null) {
        rank.textContent += ` [${line.rank.low.toFixed(1)}, ${line.rank.high.toFixed(1)}]`;
        rank.title = `mean over ${line.rank.n_metrics} metrics, 1 is best`;
      }
      body.append(element("tr", { class: line.control ? "control" : "" },
        element("td", { text: line.dataset }), element("td", { text: line.model }), element("td", { text: line.method }), rank,
        ...metrics.map((metric) => cellOf(line.cells[metric], false))));
    }
    for (const [title, own] of groups(rows)) {
      const line = element("tr", { class: "control" }, element("td", { text: own[0].dataset }), element("td", { text: own[0].model }), element("td", { text: "chance level" }), element("td", {}));
      for (const metric of metrics) {
        const levels = own.filter((row) => row.metric === metric && row.chance !== null).map((row) => row.chance);
        line.append(element("td", { class: "number", text: levels.length ? shown(levels.reduce((a, b) => a + b, 0) / levels.length) : "–" }));
      }
      line.setAttribute("aria-label", `chance levels, ${title}`);
      body.append(line);
    }
    return [header(columns), body, `${order.length} methods of models, ${metrics.length} metrics`];
  }
  function longTable(rows) {
    const columns = [
      ...["dataset", "model", "method", "metric"].map((key) => ({ key, name: key })),
      { key: "n", name: "n", number: true }, { key: "mean", name: "mean", number: true },
      { key: "chance", name: "chance", number: true }, { key: "seconds_per_unit", name: "s/unit", number: true },
    ];
    const body = element("tbody");
    for (const row of sorted(rows, (one) => one[state.sort])) {
      const count = row.planned && row.planned > row.n ? `${row.n} of ${row.planned}` : `${row.n}`;
      body.append(element("tr", { class: row.control ? "control" : "" },
        ...["dataset", "model", "method"].map((key) => element("td", { text: row[key] })),
        element("td", { text: `${row.metric} ${row.direction === "higher" ? "↑" : "↓"}` }),
        element("td", { class: "number", text: count }), cellOf(row, true),
        element("td", { class: "number", text: shown(row.chance) }),
        element("td", { class: "number", text: shown(row.seconds_per_unit) })));
    }
    return [header(columns), body, `${rows.length} of ${data.rows.length} measurements`];
  }
  function draw() {
    const rows = chosen();
    const [head, body, count] = state.view === "wide" ? wideTable(rows) : longTable(rows);
    const active = document.activeElement && document.activeElement.closest("th") ? document.activeElement.textContent : null;
    $("table").replaceChildren(head, body);
    $("shown").textContent = count;
    if (active !== null) for (const button of $("table").querySelectorAll("th button")) if (button.textContent === active) button.focus();
  }

  // --- plots -----------------------------------------------------------------------------------------------------
  // What a reader looks for first, where it was measured.
  const PREFERRED = ["grid_pg/", "energy_pg/", "pixel_deletion/", "pixel_perturbation/"];
  function fill(select, values, redraw) {
    for (const value of values) select.append(element("option", { value, text: value }));
    const first = PREFERRED.flatMap((start) => values.filter((value) => value.startsWith(start)))[0];
    if (first !== undefined) select.value = first;
    select.addEventListener("change", redraw);
  }
  function panel(title, width, height, paint) {
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
    paint(svg);
    return element("figure", {}, element("figcaption", { text: title }), svg);
  }
  const groups = (rows) => {
    const found = new Map();
    for (const row of rows) {
      const key = `${row.dataset}, ${row.model}`;
      found.set(key, [...(found.get(key) || []), row]);
    }
    return [...found];
  };
  function scale(low, high, from, to) {
    const span = high - low || 1;
    return (value) => from + ((value - low) / span) * (to - from);
  }
  function bars() {
    const metric = $("bar-metric").value;
    const rows = data.rows.filter((row) => row.metric === metric && row.mean !== null);
    const ends = rows.flatMap((row) => [row.mean, row.ci_low ?? row.mean, row.ci_high ?? row.mean, row.chance ?? row.mean]);
    const [low, high] = [Math.min(0, ...ends), Math.max(...ends)];
    $("bars").replaceChildren(...groups(rows).map(([title, own]) => {
      own.sort((a, b) => byMethod(a.method, b.method));
      const height = 22 + own.length * 17;
      return panel(title, 460, height, (svg) => {
        const x = scale(low, high, 196, 440);
        for (const tick of [low, (low + high) / 2, high]) {
          svg.append(drawn("line", { x1: x(tick), x2: x(tick), y1: 2, y2: height - 16, class: "faint" }));
          svg.append(drawn("text", { x: x(tick), y: height - 4, "text-anchor": "middle" }, tick.toFixed(2)));
        }
        own.forEach((row, place) => {
          const y = 11 + place * 17;
          const label = row.method.length > 30 ? `${row.method.slice(0, 29)}…` : row.method;
          svg.append(drawn("text", { x: 190, y: y + 4, "text-anchor": "end", opacity: row.control ? 0.6 : 1 }, label));
          svg.append(drawn("rect", { x: x(Math.min(0, row.mean)), y: y - 5, width: Math.abs(x(row.mean) - x(0)), height: 10, fill: style(row.method).colour, opacity: row.control ? 0.35 : 0.75 }));
          if (row.ci_low !== null) svg.append(drawn("line", { x1: x(row.ci_low), x2: x(row.ci_high), y1: y, y2: y, stroke: "currentColor", "stroke-width": 1.6 }));
          if (row.chance !== null) svg.append(drawn("line", { x1: x(row.chance), x2: x(row.chance), y1: y - 7, y2: y + 7, class: "axis", "stroke-dasharray": "2 2" }));
        });
      });
    }));
    scatter(rows);
  }
  function scatter(rows) {
    const timed = rows.filter((row) => row.seconds_per_unit > 0 && !row.control);
    if (!timed.length) { $("scatter").replaceChildren(element("p", { class: "quiet", text: "No times are stored." })); return; }
    const logs = timed.map((row) => Math.log10(row.seconds_per_unit));
    const [fast, slow] = [Math.floor(Math.min(...logs)), Math.ceil(Math.max(...logs))];
    const means = timed.map((row) => row.mean);
    $("scatter").replaceChildren(...groups(timed).map(([title, own]) => panel(title, 420, 260, (svg) => {
      const x = scale(fast, Math.max(slow, fast + 1), 40, 400), y = scale(Math.min(...means), Math.max(...means), 220, 14);
      for (let tick = fast; tick <= Math.max(slow, fast + 1); tick += 1) {
        svg.append(drawn("line", { x1: x(tick), x2: x(tick), y1: 10, y2: 224, class: "faint" }));
        svg.append(drawn("text", { x: x(tick), y: 240, "text-anchor": "middle" }, tick < 0 ? (10 ** tick).toFixed(-tick) : String(10 ** tick)));
      }
      svg.append(drawn("text", { x: 220, y: 256, "text-anchor": "middle" }, "seconds per explained target"));
      for (const level of [Math.min(...means), Math.max(...means)]) svg.append(drawn("text", { x: 36, y: y(level) + 4, "text-anchor": "end" }, level.toFixed(2)));
      for (const row of own) {
        const [px, py] = [x(Math.log10(row.seconds_per_unit)), y(row.mean)];
        const dot = drawn("circle", { cx: px, cy: py, r: 4.5, fill: style(row.method).colour });
        dot.append(drawn("title", {}, `${row.method}: ${shown(row.mean)}, ${shown(row.seconds_per_unit)} s`));
        svg.append(dot);
        svg.append(drawn("text", { x: px + (px > 330 ? -7 : 7), y: py + 3.5, "text-anchor": px > 330 ? "end" : "start" }, style(row.method).short));
      }
    })));
  }
  function curves() {
    const metric = $("curve-metric").value;
    const own = data.curves.filter((curve) => curve.metric === metric);
    const values = own.flatMap((curve) => curve.y);
    const [low, high] = [Math.min(0, ...values), Math.max(...values)];
    $("curves").replaceChildren(...groups(own).map(([title, lines]) => {
      lines.sort((a, b) => byMethod(a.method, b.method));
      const height = 230 + Math.ceil(lines.length / 3) * 15;
      return panel(title, 420, height, (svg) => {
        const [start, end] = [lines[0].x[0], lines[0].x[lines[0].x.length - 1]];
        const x = scale(start, end, 36, 410), y = scale(low, high, 196, 8);
        for (const tick of [low, (low + high) / 2, high]) {
          svg.append(drawn("line", { x1: 36, x2: 410, y1: y(tick), y2: y(tick), class: "faint" }));
          svg.append(drawn("text", { x: 32, y: y(tick) + 4, "text-anchor": "end" }, tick.toFixed(2)));
        }
        svg.append(drawn("text", { x: 36, y: 214 }, String(start)));
        svg.append(drawn("text", { x: 410, y: 214, "text-anchor": "end" }, String(end)));
        svg.append(drawn("text", { x: 220, y: 214, "text-anchor": "middle" }, lines[0].axis));
        lines.forEach((line, place) => {
          const points = line.x.map((at, index) => `${x(at).toFixed(1)},${y(line.y[index]).toFixed(1)}`).join(" ");
          const look = { stroke: style(line.method).colour, "stroke-dasharray": dashes[style(line.method).line] || "", "stroke-width": 1.8, fill: "none" };
          const path = drawn("polyline", { points, ...look });
          path.append(drawn("title", {}, `${line.method}, n = ${line.n}`));
          svg.append(path);
          const [lx, ly] = [36 + (place % 3) * 128, 232 + Math.floor(place / 3) * 15];
          svg.append(drawn("line", { x1: lx, x2: lx + 20, y1: ly - 4, y2: ly - 4, ...look }));
          svg.append(drawn("text", { x: lx + 25, y: ly }, style(line.method).short));
        });
      });
    }));
  }

  // --- gallery ---------------------------------------------------------------------------------------------------
  const sheetName = (sheet) => `${sheet.dataset}, ${sheet.model}, ${sheet.kind}`;
  function gallery() {
    const sheet = data.gallery.find((one) => sheetName(one) === $("gallery-model").value);
    if (!sheet) { $("gallery").replaceChildren(element("p", { class: "quiet", text: "No attributions are stored." })); return; }
    const metric = $("gallery-metric").value;
    const methods = sheet.methods.slice().sort(byMethod);
    const table = element("table", { class: "sheet" });
    table.append(element("thead", {}, element("tr", {}, element("th", { scope: "col", text: "input" }), ...methods.map((method) => element("th", { scope: "col", text: method })))));
    const body = element("tbody");
    for (const row of sheet.rows) {
      const line = element("tr", {}, element("td", {}, element("img", { src: row.image, alt: `input ${row.stimulus}`, loading: "lazy" }), element("span", { text: row.target })));
      for (const method of methods) {
        const map = row.maps[method];
        if (!map) { line.append(element("td", {})); continue; }
        const score = map.scores[metric];
        line.append(element("td", {}, element("img", { src: map.picture, alt: `attribution of ${method} for ${row.target}`, loading: "lazy" }),
          element("span", { text: score === undefined ? "–" : shown(score) })));
      }
      body.append(line);
    }
    table.append(body);
    $("gallery").replaceChildren(table);
  }

  // --- agreement -------------------------------------------------------------------------------------------------
  function ranks(values) {
    return values.map((value) => values.filter((other) => other < value).length + (values.filter((other) => other === value).length + 1) / 2);
  }
  function correlation(a, b) {
    const [x, y] = [ranks(a), ranks(b)];
    const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [mx, my] = [mean(x), mean(y)];
    let [top, left, right] = [0, 0, 0];
    for (let i = 0; i < x.length; i += 1) { top += (x[i] - mx) * (y[i] - my); left += (x[i] - mx) ** 2; right += (y[i] - my) ** 2; }
    return left && right ? top / Math.sqrt(left * right) : null;
  }
  function agreement() {
    const figures = [];
    for (const [title, own] of groups(data.rows.filter((row) => !row.control && row.mean !== null))) {
      const metrics = unique(own.map((row) => row.metric));
      if (metrics.length < 2) continue;
      const means = Object.fromEntries(metrics.map((metric) => [metric, new Map(own.filter((row) => row.metric === metric).map((row) => [row.method, row.direction === "higher" ? row.mean : -row.mean]))]));
      const table = element("table", { class: "matrix" });
      table.append(element("caption", { text: title }));
      table.append(element("thead", {}, element("tr", {}, element("td", {}), ...metrics.map((_, index) => element("th", { scope: "col", text: String(index + 1) })))));
      const body = element("tbody");
      metrics.forEach((first, i) => {
        const line = element("tr", {}, element("th", { scope: "row", text: `${i + 1} ${first}` }));
        metrics.forEach((second) => {
          const shared = [...means[first].keys()].filter((method) => means[second].has(method));
          const value = shared.length < 3 ? null : correlation(shared.map((m) => means[first].get(m)), shared.map((m) => means[second].get(m)));
          const cell = element("td", { text: value === null ? "–" : value.toFixed(2) });
          if (value !== null) { cell.style.background = value >= 0 ? `rgba(178,24,43,${0.55 * value})` : `rgba(33,102,172,${-0.55 * value})`; cell.style.color = "var(--ink)"; }
          line.append(cell);
        });
        body.append(line);
      });
      table.append(body);
      figures.push(element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Agreement, ${title}` }, table));
    }
    $("agreement").replaceChildren(...(figures.length ? figures : [element("p", { class: "quiet", text: "It takes two metrics and three methods." })]));
  }

  fill($("bar-metric"), unique(data.rows.map((row) => row.metric)), bars);
  fill($("curve-metric"), unique(data.curves.map((curve) => curve.metric)), curves);
  fill($("gallery-model"), data.gallery.map(sheetName), gallery);
  fill($("gallery-metric"), unique(data.gallery.flatMap((sheet) => sheet.rows.flatMap((row) => Object.values(row.maps).flatMap((map) => Object.keys(map.scores))))), gallery);
  draw(); bars(); curves(); gallery(); agreement();
})();
