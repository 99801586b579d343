#include "spikegpt/report/page_assets.h"

namespace spikegpt {

const std::string_view kPageScript = R"js(
'use strict';
for (const figure of document.querySelectorAll('figure.chart')) {
  const data = JSON.parse(figure.querySelector('script').textContent);
  const scale = v => data.log_x ? Math.log10(v) : v;
  const low = scale(data.low), high = scale(data.high);
  const fraction = v => (scale(v) - low) / (high - low);
  const places = [...new Set(data.series.flatMap(s => s.points.map(p => p[0])))].sort((a, b) => a - b);
  const number = v => Number(v.toPrecision(5)).toLocaleString('en', {maximumSignificantDigits: 5});
  const nearest = (list, get, wanted) => list.reduce((a, b) => Math.abs(get(b) - wanted) < Math.abs(get(a) - wanted) ? b : a);
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.hidden = true;
  figure.append(tip);
  let at = -1;
  const row = (name, value, color) => {
    const line = document.createElement('div');
    if (color !== undefined) {
      line.className = 'c' + color;
      line.append(document.createElement('i'));
    }
    line.append(name + ' ', Object.assign(document.createElement('b'), {textContent: value}));
    return line;
  };
  const hide = svg => { tip.hidden = true; svg.querySelector('.cursor').style.visibility = 'hidden'; };
  const show = (svg, index) => {
    at = Math.max(0, Math.min(places.length - 1, index));
    const x = places[at];
    tip.replaceChildren(row(data.x_label, number(x)));
    for (const series of data.series) {
      if (series.points.length === 0) continue;
      const point = nearest(series.points, p => fraction(p[0]), fraction(x));
      if (Math.abs(fraction(point[0]) - fraction(x)) < 0.02) tip.append(row(series.name, number(point[1]), series.color));
    }
    const left = +svg.dataset.left, right = +svg.dataset.right, cursor = svg.querySelector('.cursor');
    const place = left + fraction(x) * (right - left);
    cursor.setAttribute('x1', place);
    cursor.setAttribute('x2', place);
    cursor.style.visibility = 'visible';
    tip.hidden = false;
    const box = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect();
    const pixel = box.left - outer.left + place * box.width / svg.viewBox.baseVal.width;
    const beside = pixel + 14 + tip.offsetWidth < outer.width ? pixel + 14 : pixel - 14 - tip.offsetWidth;
    tip.style.left = Math.max(4, Math.min(outer.width - tip.offsetWidth - 4, beside)) + 'px';
    tip.style.top = (box.top - outer.top + 12) + 'px';
  };
  if (places.length === 0) continue;
  for (const svg of figure.querySelectorAll(':scope > svg')) {
    svg.addEventListener('pointermove', event => {
      const box = svg.getBoundingClientRect();
      const inside = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
      const wanted = (inside - svg.dataset.left) / (svg.dataset.right - svg.dataset.left);
      show(svg, places.indexOf(nearest(places, fraction, wanted)));
    });
    svg.addEventListener('pointerleave', () => hide(svg));
    svg.addEventListener('blur', () => hide(svg));
    svg.addEventListener('focus', () => { if (svg.matches(':focus-visible')) show(svg, at < 0 ? places.length - 1 : at); });
    svg.addEventListener('keydown', event => {
      const moves = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -places.length, End: places.length};
      if (event.key === 'Escape') hide(svg);
      if (!(event.key in moves)) return;
      event.preventDefault();
      show(svg, at + moves[event.key]);
    });
  }
}
)js";

}  // namespace spikegpt
