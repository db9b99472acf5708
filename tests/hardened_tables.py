r"""Answers made up to look right, and right ones that look odd: a table a clause.

A line is `ground truth ;; answer`. Those of taught_tables.py have a question in front.
"""

import pytest

REJECT = {
    "text is a symbol": r"""
        25 ;; \text{.25}
        25 ;; \text{25!}
        25 ;; \text{25'}
        10! ;; \text{10}
        AB' ;; \text{AB}
        AB ;; \text{ab}
        x^2 ;; \text{X^2}
        5\text{ mHz} ;; \text{5 MHz}""",
    "infinity": r"""
        \sqrt2 ;; 1.4142135623730951+\frac1\infty
        123456789012345678901 ;; 123456789012345678902+\frac1\infty
        \infty ;; \infty-\infty
        5 ;; 5+\frac{1}{\infty}
        \infty ;; -\infty""",
    "numbers too small to see": r"""
        \sqrt2 ;; \sqrt2+10^{-700}
        3\sqrt5 ;; 3\sqrt5(1+10^{-900})
        2 ;; 2+e^{-2000}
        18 ;; 18-\frac{\pi}{10^{800}}
        2n-2 ;; 2n-2+\frac{1}{1000!}
        x ;; x+\frac{10^{-700}}{x^2+1}
        \sqrt2 ;; \sqrt2+\sqrt{10^{1400}+1}-10^{700}""",
    "choices": r"""
        B ;; (B) or (C)
        B ;; (B) is wrong
        B ;; (B) no, choose (D)
        B ;; \text{(B) or (C)}
        B ;; \text{(B) is wrong}
        B ;; \text{(B), but also (C)}
        B ;; \text{not (B)}
        B ;; \text{(A), (B)}
        B ;; B or C
        B ;; B+C
        B ;; C) 2x(x-7)
        B ;; \text{(C) twelve}
        2x ;; B) 2x(x-7)
        e ;; (E)
        i ;; (I)
        e ;; \text{(E)}""",
    "units": r"""
        37^\circ\text{F} ;; 37^\circ\text{C}
        37\text{ degrees Fahrenheit} ;; 37\text{ degrees Celsius}
        5\text{ PM} ;; 5\text{ AM}
        5:30\text{ PM} ;; 5:30\text{ AM}
        5\text{ cents} ;; \$5
        5\,\mu\text{m} ;; 5\text{ m}
        5\,\mu m ;; 5\text{ m}
        5\text{ mHz} ;; 5\text{ MHz}
        5\text{ acres} ;; 5\text{ hectares}
        5\text{ kg} ;; 5\text{ lb}
        5\text{ apples} ;; 5\text{ oranges}
        5\text{ cm} ;; 5\text{ apples}
        5\text{ m} ;; 5\text{ m}^2
        5\text{ C} ;; 5\text{ T}
        5\text{ cm} ;; 5\text{ mm}
        €5 ;; \$5""",
    "words that change a number": "\n".join(
        f"5 ;; 5\\text{{ {word}}}"
        for word in """doubled tripled halved quadrillion quintillion sixteenths twelfths ninths
        lakh lakhs crore hoax false untrue joke score gross fold reversed squared tenths ppm pi nor
        hundred thousandths""".split()
    )
    + r"""
        5 ;; 5\text{ per mille}
        5 ;; 5\text{ dozen eggs}
        5 ;; 5 doubled
        5 ;; 5 lakh""",
    "words that deny": r"""
        5 ;; \text{The answer is not}=5
        5 ;; \text{wrong}=5
        5 ;; 5\text{, false for }k\in\mathbb Z""",
    "functions that agree on a stretch": r"""
        x ;; |x+10000|-10000
        x ;; \max(x,-5000)
        x ;; \min(x,10^{15})
        x ;; x+\max(0,5000-|x-20000|)
        x ;; x+\max(0,5000-||x|-20000|)
        x ;; \sqrt{(x+5000)^2}-5000
        n ;; n+\lfloor n/1000\rfloor
        n ;; n+\lfloor n/10^{9}\rfloor
        n ;; n\bmod 10^6
        \ln|x| ;; \ln x
        AB ;; |AB|
        2x ;; x+|x|
        17 ;; 17\cdot\frac xx
        17 ;; \frac{17x}{x}
        17 ;; 17x^0""",
    "invisible characters": (
        "23 ;; 2\u20633\n23 ;; 2\u20623\n23 ;; 2\u20643\n23 ;; 2\u200b3\n23 ;; 2\u00ad3"
    ),
    "boxes, signs and integrals": r"""
        5 ;; \boxed[5]{6}
        2+3i,-2-3i ;; \pm2\pm3i
        5 ;; \int_0^1 10x\,dx \text{ or } 7
        5 ;; \text{not}\int_0^1 10x\,dx
        5 ;; \int_0^1 10x\,dx, 7""",
    "numbers of another name": r"""
        2 ;; three
        2 ;; \text{twenty}
        k\pi,k\in\mathbb{Z} ;; k\pi,k\in\mathbb{N}
        \frac{dy}{dx} ;; \frac{y}{x}
        5 ;; \text{Double the answer} = 5
        5^\circ ;; 5\text{ radians}
        \ln(1-x) ;; \ln(x-1)
        \sqrt{x} ;; \sqrt{|x|}
        p=5,q=2;p=7,q=2 ;; (5,2)
        p=5,q=2;p=7,q=2 ;; (2,5),(7,2)
        S_{MBCN}:S=7:32 ;; 32:7
        \frac{NO}{BO}=\frac1{\sqrt6} ;; \sqrt6
        1\le|z|\le\frac32 ;; [1,\frac32]
        x+y<1 ;; x+y\leq1
        0<f(x)<1 ;; [0,1]""",
    "textbook and physics forms": r"""
        25^\circ\mathrm{C} ;; 25\ \mathrm{^\circ F}
        8.314\,\mathrm{J/(mol\cdot K)} ;; 8.314\ \mathrm{J\,mol^{-1}\,K}
        3.6\times10^6\,\mathrm{J} ;; 1\,\mathrm{MWh}
        2\,\mathrm{k}\Omega ;; 2\ \Omega
        0.5\,\mathrm{A} ;; 500\,\mathrm{A}
        E=-\frac{13.6}{n^2}\,\mathrm{eV} ;; -\frac{13.6\,\mathrm{J}}{n^2}
        -\frac{13.6}{n^2} ;; -\frac{13.6\text{ doubled}}{n^2}
        \vec v=(2,-1)\,\mathrm{m/s} ;; (2,-1)\,\mathrm{km/s}
        (3,4) ;; (3,4)\text{ negatives}
        v_0=5 ;; v_1=5
        v_{\max}=10 ;; v_{\min}=10
        1011_{\text{two}} ;; 1011_{\text{three}}
        \frac{dy}{dx}=2x ;; \frac{dx}{dy}=2x
        y=2x ;; \frac{dy}{dx}=2x
        m\angle A=40^\circ ;; m\angle B=40^\circ
        \overline{AB}=5 ;; \overline{CD}=5
        N_0 2^{-t/T} ;; N_0 3^{-t/T}
        \Phi_E=\frac{q}{2} ;; \frac{q}{3}
        7:30\text{ PM} ;; 7:30\text{ a.m.}
        7:30\text{ PM} ;; 7:31\text{ PM}
        \text{an ellipse} ;; \text{a circle}
        (1,2),(2,1) ;; (1,2),(1,2)
        1,2 ;; 1,1,2""",
}
ACCEPT = {
    "choices with their text": r"""
        B ;; B) 2x(x-7)
        B ;; B. Alice
        D ;; Option D: the sum of both
        D ;; \text{Option D: 12}
        B ;; \mathbf{(B)}\ 12
        B ;; \text{(B) twelve}
        C ;; \textbf{(C) }X+Y=Z
        12 ;; \mathbf{(B)}\ 12
        (B) ;; \text{(B)}~12
        B ;; (B)\ \frac12
        B ;; \text{B: 12}
        B ;; B: x=5
        2x(x-7) ;; B) 2x(x-7)""",
    "notation": r"""
        \{3\} ;; 3
        3 ;; \{3\}
        \{(1,2)\} ;; (1,2)
        1000, 2000 ;; 1,000, 2,000
        4.5\times10^{33} ;; 4.5 x 10^{33}
        120 ;; 5!=120
        \frac{\pi}{2} ;; \\frac{\pi}{2}
        \frac{\pi}{2} ;; \\frac{\\pi}{2}
        12 ;; 12.
        \theta^2 ;; theta^2
        \lambda/2 ;; lambda/2
        2 ;; two
        12 ;; \text{twelve}
        21 ;; \text{twenty-one}
        \frac12 ;; \nicefrac{1}{2}
        29 ;; 29{}
        8 ;; \therefore 8
        8 ;; \large 8
        8 ;; \framebox{\num{8}}
        48\text{ cm} ;; \SI{48}{cm}
        \vec v ;; \overrightarrow{v}
        2010_3 ;; 2010_\text{three}
        e^{-1000} ;; \frac{1}{e^{1000}}
        v_0^2 ;; v^2_0
        g_k ;; {g}_{k}
        \arctan x ;; \operatorname{atan}{\left(x \right)}
        \operatorname{arcsinh} x ;; \operatorname{asinh}{\left(x \right)}
        \csc x ;; \operatorname{cosec} x
        10^{-3} ;; 10⁻³
        \sqrt[4]{2} ;; ∜2
        2\pi ;; 2𝜋
        2+3i,2-3i,-2+3i,-2-3i ;; \pm2\pm3i""",
    "equal functions": r"""
        \ln\frac{1}{1-x} ;; -\ln(1-x)
        \frac12\ln\frac{1+x}{1-x} ;; \frac12(\ln(1+x)-\ln(1-x))
        \operatorname{artanh} x ;; \frac12\ln\frac{1+x}{1-x}
        e^{-x} ;; \cosh x-\sinh x
        |x| ;; \sqrt{x^2}
        |x^2-4| ;; |4-x^2|
        \arcsin x ;; \frac{\pi}{2}-\arccos x
        \lfloor\frac{n+1}{2}\rfloor ;; \lceil\frac n2\rceil
        \lfloor\frac{2n-1}{5}\rfloor ;; \lfloor\frac{2n}{5}-\frac15\rfloor
        \max(a,b) ;; \frac{a+b+|a-b|}{2}
        \max(x,2) ;; \max(2,x)
        \ln(xy) ;; \ln x+\ln y""",
    "units": r"""
        5 ;; 5\text{ C}
        5 ;; 5\text{ T}
        5 ;; 5\ \mathrm{N\cdot m}
        5\text{ m/s}^2 ;; 5\ \mathrm{m\,s^{-2}}
        5\text{ cm} ;; 50\text{ mm}
        500\text{ cents} ;; \$5
        18.90 ;; \$18.90
        -5 ;; -\$5
        5\text{ km/h} ;; 5\text{ kilometers per hour}
        37^\circ\text{C} ;; 37\text{ degrees Celsius}
        5\text{ PM} ;; 5\text{ p.m.}
        12\text{ square units} ;; 12\text{ cm}^2
        28\% ;; 28 pct
        3\times10^8\ \mathrm{m/s} ;; 3\times 10^{8}\text{ m/s}""",
    "ground truths of NuminaMath": r"""
        AB=4,CD=5 ;; 4,5
        S_{MBCN}:S=7:32 ;; 7:32
        \frac{NO}{BO}=\frac1{\sqrt6} ;; \frac{1}{\sqrt{6}}
        p=5,q=2;p=7,q=2 ;; p=7,q=2;p=5,q=2
        p=5,q=2;p=7,q=2 ;; (5,2),(7,2)
        -2\le x\le7 ;; x\in[-2,7]
        1\le|z|\le\frac32 ;; [-\frac32,-1]\cup[1,\frac32]
        |x|>2 ;; (-\infty,-2)\cup(2,\infty)
        0<f(x)<1 ;; (0,1)""",
    "textbook and physics forms": r"""
        25^\circ\mathrm{C} ;; 25\ \mathrm{^\circ C}
        8.314\,\mathrm{J/(mol\cdot K)} ;; 8.314\ \mathrm{J\,mol^{-1}\,K^{-1}}
        4186\,\mathrm{J/(kg\cdot{}^\circ C)} ;; 4186\ \mathrm{J/(kg\,^\circ C)}
        3.6\times10^6\,\mathrm{J} ;; 1\,\mathrm{kWh}
        2\,\mathrm{k}\Omega ;; 2000\ \Omega
        0.5\,\mathrm{A} ;; 500\,\mathrm{mA}
        E=-\frac{13.6}{n^2}\,\mathrm{eV} ;; -\frac{13.6\,\mathrm{eV}}{n^2}
        \vec F=(3,4)\,\mathrm{N} ;; (3, 4)\ \text{N}
        R=\frac{ab}{a+b} ;; R_{\text{eq}}=\frac{a b}{a+b}
        v_{\max}=10 ;; v_{\text{max}} = 10
        T_\mathrm{f}=350\,\mathrm{K} ;; T_f = 350
        1011_{\text{two}} ;; 1011_2
        F_{\text{net}}=10\,\mathrm{N} ;; 10
        2x ;; \frac{dy}{dx}=2x
        40 ;; m\angle A=40^\circ
        \overline{AB}=5\text{ cm} ;; AB=5\text{ cm}
        N(t)=N_0 2^{-t/T} ;; N_0 \left(\frac12\right)^{t/T}
        \Phi_E=\frac{q}{\varepsilon_0} ;; \frac{q}{\epsilon_0}
        7:30\text{ PM} ;; 7:30\text{ p.m.}
        \text{ellipse} ;; \text{an ellipse}
        \operatorname{floor}(a) ;; \lfloor a\rfloor
        (1,2),(2,1) ;; (2,1),(1,2),(2,1)""",
}


def pairs(tables: dict[str, str]) -> list:
    """Return (ground truth, answer), or (question, ground truth, answer, clause)."""
    rows = []
    for clause, table in tables.items():
        for line in filter(None, map(str.strip, table.splitlines())):
            parts = [part.strip() for part in line.split(" ;; ")]
            rows.append(
                pytest.param(*parts, *([clause] if len(parts) > 2 else []), id=f"{clause}: {line}")
            )
    return rows
