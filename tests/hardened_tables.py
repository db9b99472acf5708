r"""Answers made up to look right, and right ones that look odd: a table a clause.

A line is `ground truth ;; answer`. TAUGHT_ACCEPT and TAUGHT_REJECT have a question in front.
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
TAUGHT_REJECT = {
    "copied": r"""
        Write 4500 in scientific notation. ;; 4.5\times10^3 ;; 4500
        Simplify $\sqrt{41+24\sqrt2}$. ;; 3+4\sqrt2 ;; \sqrt{41+24\sqrt2}
        Simplify $\sqrt{41+24\sqrt2}$. ;; 3+4\sqrt2 ;; (24\sqrt{2}+41)^{1/2}
        Factor 7x²−63 ;; 7(x-3)(x+3) ;; 7x^2-63
        Compute $\binom{15}{7}$. ;; 6435 ;; \binom{15}{7}
        What is $1234\times5678$? ;; 7006652 ;; 1234\times5678
        What is 1234 * 5678? ;; 7006652 ;; 1234\times5678
        Find $2^{2005}\bmod 7$. ;; 2 ;; 2^{2005}\bmod 7
        Simplify \frac{6}{8}. ;; \frac34 ;; \frac68
        Write $\frac34$ as a decimal. ;; 0.75 ;; \frac34
        Write 1024 as a power of 2. ;; 2^{10} ;; 1024
        Simplify $\sqrt{242}$. ;; 11\sqrt2 ;; |\sqrt{242}|
        Simplify $\frac{a^3}{a}$. ;; a^2 ;; \max(\frac{a^3}{a},\frac{a^3}{a})
        Simplify $\cos t+\sin t$. ;; \sqrt2\cos(t-\frac{\pi}{4}) ;; \exp(\ln(\cos t+\sin t))
        Simplify $\frac{2}{\sqrt7}$. ;; \frac{2\sqrt7}{7} ;; \frac{2}{\sqrt7}\cdot e^0
        Write $2x - y = -3$ as a function. ;; y=2x+3 ;; 2x-y+3=0
        Let $f(x)=3x+5x$. Simplify. ;; f(x)=8x ;; f(x)=3x+5x
        Write $45\%$ as a fraction. ;; \frac{9}{20} ;; 45\%
        Solve $2x>4$. ;; x>2 ;; 2x>4
        Expand $(x+1)(x+2)$. ;; x^2+3x+2 ;; (x+2)(x+1)
        Convert 2 km to m. ;; 2000\text{ m} ;; 2\text{ km}""",
    "wrong": r"""
        What is 7 times 8? ;; 56 ;; 7\cdot8^\circ
        How many degrees has the third angle? ;; 95 ;; 180^\circ-37^\circ-48^\circ
        Find $(0,2)\cap(1,3)$. ;; (1,2) ;; (0,2)\cap(1,3)
        Which are in both? ;; \{2,3\} ;; \{1,2,3\}\cap\{2,3,4\}
        Which are in either? ;; \{1,2\} ;; \{1\}\cup\{2\}
        What is 7 + 8? ;; 15 ;; 8+\frac{7\pi}{\pi}
        What is 7 + 8? ;; 15 ;; 8-7i\cdot i
        What is 7 + 8? ;; 15 ;; 7\exp(0)+8
        If $z=3+4i$ and $w=2-i$, find $zw$. ;; 10+5i ;; (3+4i)(2-i)
        If $z=3+4i$ and $w=2-i$, find $z/w$. ;; \frac25+\frac{11}5i ;; \frac{3+4i}{2-i}
        Simplify $\frac68$. ;; \frac34 ;; \frac{12}{16}
        Write $\frac34$ as a decimal. ;; 0.75 ;; \frac68
        Simplify $\sqrt{242}$. ;; 11\sqrt2 ;; \frac{\sqrt{968}}{2}
        Simplify $\frac{x^2-4}{x^2+5x+6}$. ;; \frac{x-2}{x+3} ;; \frac{2x^2-8}{2x^2+10x+12}
        Pick one. (A) 55 (B) 56 ;; \textbf{(B)}\ 56 ;; 7\cdot8
        12 V drive 5 A. What is the power? ;; 60 ;; 12\cdot5
        What is 7 times 8? ;; 56 ;; 7\cdot8
        What is 7 plus 8? ;; 15 ;; 7+8
        How many subsets has a set of ten? ;; 1024 ;; 2^{10}
        How many orders are there? ;; 120 ;; 5!
        How many ways? ;; 10 ;; \binom{5}{2}
        Find the sine of 30 degrees. ;; \frac12 ;; \sin 30^\circ
        How long is it? ;; 4 ;; \sqrt{16}
        Which exponent? ;; 3 ;; \log_2 8
        How many for each of 3? ;; 4 ;; \frac{12}{3}
        How far is it? ;; 5 ;; |-5|
        What is the share? ;; \frac16 ;; \frac{1/2}{3}
        Factor $7x^2-63$. ;; 7(x-3)(x+3) ;; 7(x^2-9)
        What remains? ;; x+1 ;; \frac{x^2-1}{x-1}
        What is it? ;; 2+\sqrt3 ;; \sqrt{7+4\sqrt3}
        Which numbers? ;; (-\infty,2) ;; x<\frac{4}{2}
        Expand $(x+1)(x+2)$. ;; x^2+3x+2 ;; x(x+2)+(x+2)
        Solve $2x>4$. ;; x>2 ;; x+1>3
        What is it? ;; \frac{\sqrt3}{2} ;; \sqrt{1-\frac14}
        What is it? ;; \sqrt2\cos t ;; \sqrt2\cos t+0\cdot\ln 2
        What is it? ;; 8x ;; 3x+5x
        What is it? ;; x^5 ;; x^2\cdot x^3""",
}
TAUGHT_ACCEPT = {
    "correct": r"""
        Simplify $\sqrt{41+24\sqrt2}$. ;; 3+4\sqrt2 ;; 4\sqrt2+3
        Factor $7x^2-63$. ;; 7(x-3)(x+3) ;; 7(x+3)(x-3)
        What is the chance? ;; \frac34 ;; \frac68
        What is the chance? ;; \frac34 ;; 0.75
        What is the chance? ;; \frac34 ;; 75\%
        What is the chance if $p=\frac12$? ;; 0.5 ;; \frac12
        Which power of 2 is it? ;; 1024 ;; 2^{10}
        How many? ;; 2^{10} ;; 1024
        How many? ;; 2^{10} ;; 4^5
        How many? ;; \frac{n(n-1)}2 ;; \binom n2
        How many? ;; \binom{10}{5} ;; \frac{10!}{5!5!}
        How heavy is it? ;; 4500 ;; 4.5\times10^3
        How heavy is it? ;; 150 ;; 1.5\times10^2
        How heavy is it? ;; 2000000 ;; 2\text{ million}
        Which? (A) $x$ (B) $2x(x-7)$ ;; B ;; B) 2x(x-7)
        Which? (A) $x$ (B) $2x(x-7)$ ;; 2x(x-7) ;; \text{(B) } 2x(x-7)
        How long is $AB$? ;; 5 ;; AB=5
        Solve $2x=10$. ;; 5 ;; x=5
        How long is it? ;; \frac{\sqrt3}{3} ;; \frac{1}{\sqrt3}
        How long is it? ;; 2\sqrt5 ;; \sqrt{20}
        Solve $x^2-5x+6=0$. ;; 2,3 ;; x=2,x=3
        Let g(x) = -x**2 + 5*x. Give g(x). ;; -x^2+5x ;; 5*x-x**2
        Which is larger, $\frac23$ or $\frac34$? ;; \frac34 ;; \frac{3}{4}
        How much? ;; \frac{9}{5} ;; 1\frac45
        How much? ;; -\frac{9}{5} ;; -1\frac45
        Is it 5 or 7? ;; 5 ;; 5.0
        How likely is it? ;; 0.01 ;; 10^{-2}
        Simplify $\frac{x^2-4}{x^2+5x+6}$. ;; \frac{x-2}{x+3} ;; 1-\frac{5}{x+3}
        Simplify $\sqrt{242}$. ;; 11\sqrt2 ;; 11\cdot\sqrt{2}
        For which $x$ is it defined? ;; (-\infty,2)\cup(2,\infty) ;; \mathbb{R}\setminus\{2\}
        What are the roots? ;; 1\pm i ;; 1+i,1-i
        How much is $\frac{5}{2-i}$? ;; 2+i ;; i+2
        Write 360 as a product of powers of primes. ;; 360 ;; 2^3\cdot3^2\cdot5
        What is the angle? ;; 95 ;; 95^\circ
        Which line is it? ;; y=2x+1 ;; 2x-y+1=0
        Find $\int\frac{dx}{1+x^2}$. ;; \arctan x+C ;; C+\tan^{-1}x""",
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
