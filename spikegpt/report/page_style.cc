#include "spikegpt/report/page_assets.h"

namespace spikegpt {

// The series colours are those of Okabe and Ito, lightened for dark pages.
const std::string_view kPageStyle = R"css(
:root { --page: #ffffff; --card: #f6f7f9; --ink: #1d2127; --soft: #5d6673; --grid: #d9dde3; --mark: #fff3cf; --heat: #b3402a;
  --s0: #0072b2; --s1: #d55e00; --s2: #009e73; --s3: #b5528a; --s4: #2e9bd6; --s5: #c08500; --s6: #595959; }
@media (prefers-color-scheme: dark) {
  :root { --page: #15181c; --card: #1e2329; --ink: #e4e7eb; --soft: #9aa4b1; --grid: #363d47; --mark: #3d3520; --heat: #ff8a65;
    --s0: #58b4f0; --s1: #ff9248; --s2: #35cfa4; --s3: #e59cc6; --s4: #8fd3ff; --s5: #f0bd4a; --s6: #b9bec6; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1280px; margin: 0 auto; padding: 20px 16px 60px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 34px 0 10px; }
h3 { font-size: 1rem; margin: 18px 0 6px; overflow-wrap: anywhere; }
p { margin: 6px 0; max-width: 75ch; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 10px; margin: 16px 0; }
@media (max-width: 700px) { .tiles { grid-template-columns: repeat(2, 1fr); } }
.tile { background: var(--card); border-radius: 8px; padding: 9px 12px; }
.tile b { display: block; font-size: 1.2rem; line-height: 1.3; font-weight: 600; }
.tile span { color: var(--soft); font-size: .85rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 370px), 1fr)); gap: 14px; }
figure { margin: 0; background: var(--card); border-radius: 8px; padding: 12px; position: relative; min-width: 0; }
figure.hero { grid-column: 1 / -1; }
figcaption { font-weight: 600; }
figcaption span { font-weight: 400; color: var(--soft); font-size: .85rem; }
figure > svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); }
svg:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; border-radius: 4px; }
figure > svg.small { display: none; }
@media (max-width: 700px) { figure > svg.large { display: none; } figure > svg.small { display: block; } }
.grid { stroke: var(--grid); stroke-width: 1; }
.axis { stroke: var(--soft); stroke-width: 1; }
.cursor { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 3; visibility: hidden; }
.curve { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.faint { stroke-width: 1; opacity: .35; }
.c0 { --c: var(--s0); } .c1 { --c: var(--s1); } .c2 { --c: var(--s2); } .c3 { --c: var(--s3); }
.c4 { --c: var(--s4); } .c5 { --c: var(--s5); } .c6 { --c: var(--s6); }
.curve { stroke: var(--c); } .dot { fill: var(--c); }
.heat { fill: var(--heat); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 4px 0 6px; padding: 0; font-size: .85rem; }
.legend li::before { content: ""; display: inline-block; width: 18px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: middle; background: var(--c); }
.tip { position: absolute; z-index: 2; pointer-events: none; background: var(--page); border: 1px solid var(--grid); border-radius: 6px;
  padding: 5px 9px; font-size: .8rem; line-height: 1.45; box-shadow: 0 2px 8px rgb(0 0 0 / .18); white-space: nowrap; }
.tip i { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 6px; background: var(--c); }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 14px 3px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); vertical-align: top; }
th { font-weight: 600; } th[scope=row] { font-weight: 400; }
th:first-child { text-align: left; padding-left: 6px; }
tr.marked > * { background: var(--mark); }
details { margin: 8px 0; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
pre { background: var(--card); border-radius: 8px; padding: 10px 12px; margin: 6px 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; }
ul.notes { padding-left: 20px; } ul.notes li { overflow-wrap: anywhere; }
.warning { background: var(--mark); border-radius: 8px; padding: 8px 12px; max-width: none; }
)css";

}  // namespace spikegpt
