"""How the page looks: on a phone, on a desk, on paper."""

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; background: #f8fafc; color: #1e293b;
  font: 1rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0 0 .6rem; }
h3 { font-size: .95rem; margin: 0; }
header p { margin: .2rem 0 1rem; color: #475569; }
section { background: #fff; border: 1px solid #e2e8f0; border-radius: .6rem; padding: 1rem;
  margin: 0 0 1rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem;
  background: none; border: 0; padding: 0; }
.cards div { background: #fff; border: 1px solid #e2e8f0; border-radius: .6rem; padding: .8rem;
  display: flex; flex-direction: column; }
.cards span { font-size: .85rem; color: #475569; flex: 1; }
.cards strong { font-size: 1.7rem; line-height: 1.2; }
small { font-size: .78rem; color: #475569; }
svg { display: block; width: 100%; max-width: 34rem; height: auto; margin: 0 auto .6rem; }
svg text { font-family: inherit !important; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: .3rem .35rem; text-align: right; vertical-align: top;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
td small { display: block; white-space: normal; } th { white-space: normal; }
th:first-child { text-align: left; }
thead th { font-size: .8rem; font-weight: 600; color: #475569; border-bottom: 2px solid #e2e8f0; }
tbody th { font-weight: 400; }
tbody tr + tr > * { border-top: 1px solid #f1f5f9; }
section > div { overflow-x: auto; }
section p { margin: .6rem 0 0; font-size: .85rem; color: #475569; }
.remarks { margin: .8rem 0 1rem; } section .remarks { margin-bottom: 0; }
.remarks ul { margin: .3rem 0 0; padding-left: 1.2rem; font-size: .9rem; }
@media (max-width: 30rem) {
  body { padding: .6rem; } section { padding: .7rem .6rem; }
  table { font-size: .75rem; } thead th { font-size: .65rem; } th, td { padding: .3rem .1rem; }
  .cards { grid-template-columns: 1fr 1fr; gap: .5rem; } .cards strong { font-size: 1.4rem; }
}
@media print, (min-width: 48rem) {
  section:has(> svg) { display: grid; grid-template-columns: 1fr 1.1fr; column-gap: 1.5rem;
    align-items: start; }
  section > h2, section > p { grid-column: 1 / -1; }
}
@media print {
  @page { margin: 12mm; }
  html { font-size: 11px; }
  body { background: none; padding: 0; max-width: none; }
  section, .cards div { break-inside: avoid; }
}
"""
