"use strict";
(() => {
  const root = document.documentElement;
  const toggle = document.getElementById("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const named = () => { toggle.textContent = dark() ? "Light" : "Dark"; };
  toggle.hidden = false;
  toggle.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; named(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", named);
  named();

  // The table: sorted by a click on a heading; what is missing stays last.
  const body = document.querySelector("#policies tbody");
  const headings = [...document.querySelectorAll("#policies thead th")];
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const up = heading.getAttribute("aria-sort") !== "ascending";
    headings.forEach(each => each.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.v ?? "";
    const compared = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return up ? order : -order;
    };
    [...body.rows].sort(compared).forEach(row => body.append(row));
  }));

  document.getElementById("held-only")?.addEventListener("change", event => {
    document.getElementById("policies").classList.toggle("held-only", event.target.checked);
  });

  // A mark and its row light up together.
  const of = name => document.querySelectorAll(`[data-policy="${CSS.escape(name)}"]`);
  const light = (name, on) => of(name).forEach(each => each.classList.toggle("lit", on));
  document.querySelectorAll("[data-policy]").forEach(each => {
    each.addEventListener("pointerenter", () => light(each.dataset.policy, true));
    each.addEventListener("pointerleave", () => light(each.dataset.policy, false));
  });
  document.querySelectorAll(".mark").forEach(mark => mark.addEventListener("click", () => {
    [...of(mark.dataset.policy)].find(each => each.tagName === "TR").scrollIntoView({block: "center", behavior: "smooth"});
  }));

  const store = document.getElementById("timelines");
  if (!store) return;
  const {lines, chosen, scored_from_s: scoredFrom = 0} = JSON.parse(store.textContent);
  const names = Object.keys(lines);
  const picks = [...document.querySelectorAll(".choose select")];
  const shown = document.querySelector(".choose output");
  const holder = document.querySelector(".lines");
  const COLOURS = ["--s1", "--s2", "--s3", "--s4", "--s5", "--s6"].map(name => `var(${name})`);
  picks.forEach((pick, position) => {
    if (position) pick.append(new Option("none", ""));
    names.forEach(name => pick.append(new Option(name, name)));
    pick.value = chosen[position] ?? "";
    pick.closest("label").hidden = position >= names.length;
    pick.addEventListener("change", () => draw());
  });

  const sum = lists => lists.length ? lists[0].map((_, i) => lists.reduce((all, list) => all === null || list[i] === null ? null : all + list[i], 0)) : [];
  const total = by => sum(Object.values(by ?? {}));
  const figure = value => value === null || value === undefined ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2);
  const share = value => value === null || value === undefined ? "–" : `${(100 * value).toFixed(1)}%`;
  const money = value => value === null || value === undefined ? "–" : `$${figure(value)}`;
  const clock = seconds => {
    const sign = seconds < 0 ? "−" : "", at = Math.abs(Math.round(seconds));
    const pad = value => String(value).padStart(2, "0");
    const [days, hours, minutes] = [Math.floor(at / 86400), Math.floor(at / 3600) % 24, Math.floor(at / 60) % 60];
    if (span() > 86400) return `${sign}day ${days + 1}, ${pad(hours)}:${pad(minutes)}`;
    return span() > 7200 ? `${sign}${pad(days * 24 + hours)}:${pad(minutes)}` : `${sign}${Math.floor(at / 60)}:${pad(at % 60)} min`;
  };
  let at = [], width = 0, panels = [];
  const LEFT = 46, RIGHT = 8, TOP = 6;
  const span = () => at[at.length - 1] - at[0] || 1;
  const x = seconds => LEFT + (seconds - at[0]) / span() * (width - LEFT - RIGHT);

  const demand = policy => {
    const line = lines[policy], found = [], several = Object.keys(line.arrived_per_s ?? {}).length > 1;
    Object.entries(line.arrived_per_s ?? {}).forEach(([name, values], position) => {
      const colour = COLOURS[position % COLOURS.length], forecast = line.forecast?.[name];
      if (forecast) {
        const lead = several ? "" : ` forecast ${+(forecast.lead_s / 60).toFixed(1)} min before`;
        found.push({name: `80% band${lead}`, colour, band: [forecast.q10, forecast.q90], forecast: true, group: position, format: figure});
        found.push({name: several ? "median" : "its median", colour, values: forecast.q50, dashed: true, forecast: true, group: position, format: figure});
      }
      found.push({name, colour, values, group: position, format: figure});
    });
    const leads = Object.values(line.forecast ?? {}).map(each => +(each.lead_s / 60).toFixed(1));
    const ahead = several && leads.length ? `, with what was forecast ${leads[0]} min before` : "";
    return {title: `Demand, requests a second${ahead}`, series: found};
  };
  // Policies may have been looked at at different moments: each value is found by its time.
  const onto = (name, values) => {
    const own = lines[name].at_s;
    if (own === at || own.length === at.length && own.every((t, i) => t === at[i])) return values;
    return at.map(t => {
      let low = 0, high = own.length - 1;
      while (low < high) { const middle = (low + high + 1) >> 1; if (own[middle] <= t) low = middle; else high = middle - 1; }
      return own[low] > t ? null : values[low] ?? null;
    });
  };
  const replicas = (policy, colour, several) => {
    const line = lines[policy], lanes = Object.keys(line.ready ?? {}), found = [];
    lanes.forEach((lane, position) => {
      const own = lanes.length > 1 ? COLOURS[(position + 2) % COLOURS.length] : colour, mine = lanes.length > 1 ? `${lane} ` : "";
      found.push({name: `${mine}ready`, colour: own, values: onto(policy, line.ready[lane]), step: true, filled: lanes.length === 1, format: figure});
      if (line.desired?.[lane]) found.push({name: `${mine}desired`, colour: own, values: onto(policy, line.desired[lane]), step: true, dashed: true, format: figure});
    });
    return {title: several ? `Replicas, ${policy}` : "Replicas", series: found, group: "replicas"};
  };
  const hosted = policy => {
    const [all, out] = [total(lines[policy].arrived_per_s), total(lines[policy].hosted_per_s)];
    return out.map((value, i) => value === null || !all[i] ? (all[i] === 0 ? 0 : null) : Math.min(1, value / all[i]));
  };
  const beside = (title, picked, values, format) => ({title, series: picked.map(([name, colour]) => ({name, colour, values: values(name), step: true, format})).filter(each => each.values?.length).map(each => ({...each, values: onto(each.name, each.values)}))});

  function build() {
    const picked = picks.map((pick, i) => [pick.value, COLOURS[i]]).filter(([name], i, all) => name && all.findIndex(([other]) => other === name) === i);
    at = lines[picked[0][0]].at_s;
    return [
      demand(picked[0][0]),
      ...picked.map(([name, colour]) => replicas(name, colour, picked.length > 1)),
      beside("Share of requests sent to hosted lanes", picked, hosted, share),
      beside("Dollars an hour", picked, name => lines[name].usd_per_hour, money),
    ].filter(panel => panel.series.length);
  }

  const path = (values, y, step) => {
    let text = "", open = false, last = 0;
    values.forEach((value, i) => {
      if (value === null || value === undefined) { open = false; return; }
      const [px, py] = [x(at[i]).toFixed(1), y(value).toFixed(1)];
      text += !open ? `M${px} ${py}` : step ? `H${px}V${py}` : `L${px} ${py}`;
      open = true; last = i;
    });
    return text;
  };
  const runs = (low, high) => {
    const found = []; let run = [];
    low.forEach((value, i) => {
      if (value !== null && high[i] !== null) run.push(i);
      else if (run.length) { found.push(run); run = []; }
    });
    if (run.length) found.push(run);
    return found;
  };
  const area = (low, high, y, step) => runs(low, high).map(run => {
    let text = "";
    run.forEach((i, n) => { const [px, py] = [x(at[i]).toFixed(1), y(high[i]).toFixed(1)]; text += n === 0 ? `M${px} ${py}` : step ? `H${px}V${py}` : `L${px} ${py}`; });
    [...run].reverse().forEach((i, n) => { const [px, py] = [x(at[i]).toFixed(1), y(low[i]).toFixed(1)]; text += step && n ? `H${px}V${py}` : `L${px} ${py}`; });
    return `${text}Z`;
  }).join("");
  const ticks = (top, most) => {
    const rough = top / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map(each => each * power).find(each => each >= rough * 0.999);
    return Array.from({length: Math.floor(top / step + 1e-9) + 1}, (_, i) => i * step);
  };
  const timeTicks = () => {
    const most = Math.max(2, Math.floor((width - LEFT - RIGHT) / 84));
    const step = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800].find(each => span() / each <= most) ?? 2592000;
    const found = [];
    for (let t = Math.ceil(at[0] / step) * step; t <= at[at.length - 1]; t += step) found.push(t);
    return [found, step];
  };
  const timeLabel = (t, step) => step >= 86400 ? `day ${Math.round(t / 86400) + 1}` : span() > 7200 ? `${String(Math.floor(t / 3600) % 24).padStart(2, "0")}:${String(Math.floor(t / 60) % 60).padStart(2, "0")}` : `${Math.round(t / 60)} min`;
  const key = each => each.band
    ? `<svg viewBox="0 0 18 10"><rect width="18" height="10" rx="2" fill="${each.colour}" opacity=".22"/></svg>`
    : `<svg viewBox="0 0 18 10"><line x1="0" x2="18" y1="5" y2="5" stroke="${each.colour}" stroke-width="2.5" ${each.dashed ? 'stroke-dasharray="4 3"' : ""}/></svg>`;
  // What is measured first, what was forecast after it; drawn the other way round.
  const legend = series => series.map((each, i) => [each, i]).sort(([a], [b]) => (a.group ?? 0) - (b.group ?? 0) || Boolean(a.forecast) - Boolean(b.forecast))
    .map(([each, i]) => `<span>${key(each)}${escaped(each.name)} <i data-i="${i}"></i></span>`).join("");
  const escaped = text => { const node = document.createElement("span"); node.textContent = text; return node.innerHTML; };

  function draw() {
    panels = build();
    width = holder.clientWidth;
    const height = width < 560 ? 120 : 140;
    const [times, step] = timeTicks();
    const highest = panel => Math.max(...panel.series.flatMap(each => (each.band ? each.band[1] : each.values).map(v => v ?? 0)), 1e-9);
    const replicaTop = Math.max(...panels.filter(p => p.group).map(highest), 1e-9);
    picks.forEach((pick, i) => pick.closest("label").querySelector(".swatch").style.background = pick.value ? COLOURS[i] : "transparent");
    holder.replaceChildren(...panels.map((panel, number) => {
      const last = number === panels.length - 1;
      const bottom = height - (last ? 22 : 6);
      const top = (panel.group ? replicaTop : highest(panel)) * 1.06;
      const y = value => bottom - value / top * (bottom - TOP);
      const format = panel.series[0].format;
      const short = value => format === share ? `${+(100 * value).toPrecision(3)}%` : format === money ? `$${+value.toPrecision(4)}` : `${+value.toPrecision(4)}`;
      const parts = [];
      if (scoredFrom > at[0]) {
        const end = x(Math.min(scoredFrom, at[at.length - 1]));
        parts.push(`<rect class="unscored" x="${LEFT}" y="${TOP}" width="${(end - LEFT).toFixed(1)}" height="${bottom - TOP}"/>`);
        if (!number && end - LEFT > 110) parts.push(`<text class="tick" x="${LEFT + 6}" y="${TOP + 12}">warm-up, not scored</text>`);
      }
      times.forEach(t => parts.push(`<line class="grid" x1="${x(t).toFixed(1)}" x2="${x(t).toFixed(1)}" y1="${TOP}" y2="${bottom}"/>`));
      ticks(top, 3).forEach(value => parts.push(`<line class="grid" x1="${LEFT}" x2="${width - RIGHT}" y1="${y(value).toFixed(1)}" y2="${y(value).toFixed(1)}"/><text class="tick" x="${LEFT - 6}" y="${Math.max(TOP + 6, y(value) + 4).toFixed(1)}" text-anchor="end">${short(value)}</text>`));
      if (last) times.forEach(t => parts.push(`<text class="tick" x="${x(t).toFixed(1)}" y="${height - 4}" text-anchor="${x(t) > width - 40 ? "end" : x(t) < LEFT + 20 ? "start" : "middle"}">${timeLabel(t, step)}</text>`));
      panel.series.forEach(each => {
        if (each.band) parts.push(`<path d="${area(each.band[0], each.band[1], y)}" fill="${each.colour}" opacity=".2"/>`);
        else {
          if (each.filled) parts.push(`<path d="${area(each.values.map(v => v === null ? null : 0), each.values, y, true)}" fill="${each.colour}" opacity=".14"/>`);
          parts.push(`<path d="${path(each.values, y, each.step)}" fill="none" stroke="${each.colour}" stroke-width="1.6" stroke-linejoin="round" ${each.dashed ? 'stroke-dasharray="4 3"' : ""}/>`);
        }
      });
      parts.push(`<line class="cursor" y1="${TOP}" y2="${bottom}" visibility="hidden"/>`);
      const node = document.createElement("div");
      node.className = "panel";
      node.innerHTML = `<div class="panel-head"><b>${escaped(panel.title)}</b>${legend(panel.series)}</div>`
        + `<svg viewBox="0 0 ${width} ${height}" style="height:${height}px" role="img" aria-label="${escaped(panel.title)}"><title>${escaped(panel.title)}</title>${parts.join("")}</svg>`;
      return node;
    }));
    point(null);
  }

  let here = null;
  function point(index) {
    here = index;
    shown.textContent = index === null ? "" : clock(at[index]);
    [...holder.children].forEach((node, number) => {
      const cursor = node.querySelector(".cursor");
      cursor.setAttribute("visibility", index === null ? "hidden" : "visible");
      if (index !== null) { cursor.setAttribute("x1", x(at[index])); cursor.setAttribute("x2", x(at[index])); }
      node.querySelectorAll("i").forEach(value => {
        const each = panels[number].series[value.dataset.i];
        value.textContent = index === null ? "" : each.band ? `${each.format(each.band[0][index])} to ${each.format(each.band[1][index])}` : each.format(each.values[index]);
      });
    });
  }
  holder.addEventListener("pointermove", event => {
    const seconds = at[0] + (event.clientX - holder.getBoundingClientRect().left - LEFT) / (width - LEFT - RIGHT) * span();
    let best = 0;
    at.forEach((t, i) => { if (Math.abs(t - seconds) < Math.abs(at[best] - seconds)) best = i; });
    point(best);
  });
  holder.addEventListener("pointerleave", () => point(null));
  holder.addEventListener("keydown", event => {
    const steps = {ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20}[event.key];
    if (!steps) return;
    event.preventDefault();
    point(Math.max(0, Math.min(at.length - 1, (here ?? 0) + steps)));
  });
  new ResizeObserver(() => { if (holder.clientWidth !== width) draw(); }).observe(holder);
  draw();
})();
