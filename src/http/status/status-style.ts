/** The style of the status page. Its hash is in the page's policy, so it is one text without parts. */
export const STYLE = `
:root{color-scheme:light dark;--page:#f4f6f8;--card:#fff;--ink:#1c2128;--dim:#57606a;--line:#d8dee4;--track:#e6eaee;--same:#9db4cc;--good:#116329;--note:#0550ae;--warn:#7d4e00;--bad:#b3121f;--good-bg:#dafbe1;--note-bg:#ddf4ff;--warn-bg:#fff1c2;--bad-bg:#ffe5e3}
@media (prefers-color-scheme:dark){:root{--page:#0d1117;--card:#161b22;--ink:#e6edf3;--dim:#9aa5b1;--line:#30363d;--track:#262c34;--same:#4a6480;--good:#56d364;--note:#79b8ff;--warn:#e3b341;--bad:#ff8a80;--good-bg:#12261a;--note-bg:#121f33;--warn-bg:#2b2209;--bad-bg:#331417}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:78rem;padding:1.25rem 1rem 2rem;background:var(--page);color:var(--ink);font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;overflow-wrap:anywhere}
h1,h2,p,dl,dd,ul,figure{margin:0}
a{color:var(--note);text-underline-offset:.15em}
a:focus-visible{outline:2px solid var(--note);outline-offset:2px}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,"Liberation Mono",monospace}
header{margin-bottom:1.25rem}
h1{font-size:clamp(1.5rem,5vw,2.1rem);line-height:1.2;letter-spacing:-.01em}
h1.bad{color:var(--bad)}h1.warn{color:var(--warn)}
h2{font-size:1.25rem;line-height:1.3}
.host{font-weight:600;color:var(--dim)}
.dim,.axis,.legend,caption,figcaption,dt{color:var(--dim)}
.dim,.axis,.legend{font-size:.875rem}
.one{max-width:48rem}
.many{columns:26rem;column-gap:1rem}
.many section{break-inside:avoid;margin-bottom:1rem}
section,.all{background:var(--card);border:1px solid var(--line);border-radius:.75rem}
section{padding:1rem 1.1rem 1.1rem;border-top:.25rem solid var(--edge);display:grid;gap:.8rem;align-content:start;min-width:0;scroll-margin-top:1rem}
.good{--edge:var(--good);--tint:var(--good-bg)}.note{--edge:var(--note);--tint:var(--note-bg)}.warn{--edge:var(--warn);--tint:var(--warn-bg)}.bad{--edge:var(--bad);--tint:var(--bad-bg)}
.head{display:flex;flex-wrap:wrap;gap:.4rem .75rem;align-items:center;justify-content:space-between}
.badge{display:inline-block;padding:.1rem .6rem;border-radius:1rem;background:var(--tint);color:var(--edge);font-size:.875rem;font-weight:600;white-space:nowrap}
.problems{padding:0;list-style:none;display:grid;gap:.5rem}
.problems li{padding:.5rem .75rem;border-left:.25rem solid var(--edge);border-radius:.25rem;background:var(--tint);font-size:.9375rem}
.work{padding:.6rem .75rem .75rem;border-radius:.5rem;background:var(--note-bg)}
.work p{font-size:.9375rem}
progress{appearance:none;display:block;width:100%;height:.6rem;margin-top:.4rem;border:0;border-radius:.3rem;background:var(--track);overflow:hidden}
progress::-webkit-progress-bar{background:var(--track)}
progress::-webkit-progress-value{background:var(--note)}
progress::-moz-progress-bar{background:var(--note)}
progress:indeterminate{background:repeating-linear-gradient(-45deg,var(--track) 0 .5rem,var(--same) .5rem 1rem)}
dl{display:grid;gap:.3rem;font-size:.9375rem}
dl div{display:grid;grid-template-columns:5.5rem 1fr;gap:.5rem}
.line{display:block}
table{border-collapse:collapse;width:100%;font-size:.875rem;font-variant-numeric:tabular-nums}
caption,figcaption{text-align:left;font-size:.875rem;font-weight:600;padding-bottom:.25rem}
th,td{padding:.3rem .5rem .3rem 0;text-align:left;vertical-align:top;border-top:1px solid var(--line);font-weight:400}
thead th{border:0;color:var(--dim);font-size:.8125rem;vertical-align:bottom;line-height:1.25}
.changes th,.changes td{white-space:nowrap}
.changes th+th,.changes td{text-align:right;padding-right:0;padding-left:.5rem}
.changes td[colspan]{text-align:left;white-space:normal}
.all{margin-bottom:1.25rem;border-collapse:separate;border-spacing:0;padding:.6rem 1rem .4rem}
.all .badge{padding:.02rem .5rem}
.all th,.all td{padding:.4rem .5rem .4rem 0}
.all td:nth-child(3){white-space:nowrap}
svg{display:block;width:100%;max-width:30rem;height:auto;border-bottom:1px solid var(--line)}
path{fill:none}
.made{stroke:var(--note);stroke-width:7}.same{stroke:var(--same);stroke-width:7}.lost{stroke:var(--bad);stroke-width:2}
.legend i{display:inline-block;width:.6rem;height:.75rem;margin:0 .15rem 0 .5rem;background:var(--same);vertical-align:-.05rem}
.legend i:first-child{margin-left:0}.legend i.made{background:var(--note)}
.legend b{margin-left:.5rem;color:var(--bad)}
footer{margin-top:1.5rem}
@media (max-width:32rem){.wide{display:none}body{padding:1rem .6rem 1.5rem}section{padding:.8rem .8rem .9rem}dl div{grid-template-columns:4.75rem 1fr}.all{padding:.5rem .8rem .3rem;table-layout:fixed}.all th:nth-child(2){width:44%}.all th:nth-child(3){width:21%}.all .badge{white-space:normal}}
@media print{:root{--page:#fff}body{max-width:none;padding:0;font-size:10pt}section{break-inside:avoid;box-shadow:none}.many{columns:auto}footer{display:none}*{print-color-adjust:exact}}
`;
