"""Pairs of a ground truth and an answer, a table a clause: which to accept, which to reject."""

import pytest

ACCEPT = {
    "integers and decimals": r"""
        5 ; 5.0 | 5 ; +5 | -3 ; −3 | 0.5 ; .5 | 12 ; 12. | 1000 ; 1000.00 | -1./3 ; -\frac13
        7 ; ７ | 0 ; -0""",
    "fractions and mixed numbers": r"""
        \frac{1}{2} ; \frac12 | \frac{1}{2} ; 1/2 | \frac{1}{2} ; \dfrac{2}{4} | \frac{1}{2} ; 0.5
        \frac{1}{2} ; ½ | \frac{270}{7} ; \frac{270}7 | -\frac{1}{2} ; \frac{-1}{2}
        -\frac{1}{2} ; \frac{1}{-2} | \frac{9}{5} ; 1\frac{4}{5} | \frac{9}{5} ; 1 4/5
        -\frac{3}{2} ; -1\frac12 | 137\frac{1}{2} ; 137.5 | \frac12 ; {1 \over 2}
        3\frac12 ; 3½""",
    "per cent": r"""
        0.15 ; 15\% | 62.5% ; \frac58 | 8 \% ; 0.08 | 17.5% ; 17.5 \% | 20 ; 20\% | 20\% ; 20
        \frac12 ; 50 \text{ percent}""",
    "scientific notation": r"""
        4.5e33 ; 4.5\times10^{33} | 4.5\times10^{33} ; 4.5 \cdot 10^{33} | 1e-5 ; 10^{-5}
        1.04e-3 ; 0.00104 | 3e8 ; 300000000 | 6e13 ; 6 × 10¹³""",
    "thousands": r"""
        10000 ; 10,000 | 10000 ; 10\,000 | 10000 ; 10{,}000 | 1234567 ; 1,234,567 | 10000 ; 10 000
        11,111,111,100 ; 11111111100 | 32349 ; 32,\! 349 | 1234.5 ; 1,234.5""",
    "repeating decimals": r"""
        \frac13 ; 0.\overline{3} | \frac{1}{6} ; 0.1\overline{6} | 1 ; 0.\overline{9}
        \frac{3}{11} ; 0.\overline{27} | \frac{1}{3} ; 0.333\ldots | \frac13 ; 0.(3)""",
    "roots and powers": r"""
        \sqrt3 ; \sqrt{3} | \frac{\sqrt3}{3} ; \frac{1}{\sqrt3} | 2\sqrt{5} ; \sqrt{20} | 8 ; 2^3
        5 \sqrt[3]{4} ; \sqrt[3]{500} | \sqrt{51} ; 51^{1/2} | \sqrt2 ; √2
        2^{1009} ; 2 \cdot 2^{1008}
        \frac{1}{\sqrt{2}+1} ; \sqrt{2}-1 | -2 ; \sqrt[3]{-8}
        \frac{100!}{2^{50}} ; 100!\cdot 2^{-50}""",
    "expressions": r"""
        (a+5)(b+2) ; ab+2a+5b+10 | x^2-1 ; (x-1)(x+1) | n(n+1)/2 ; \frac{n^2+n}{2} | p-q ; -q+p
        \frac{11+9a}{20} ; \frac{9}{20}a+\frac{11}{20} | 2 n ; n2
        \binom{2n}{n} ; \frac{(2n)!}{n!\,n!}
        e^{-t}/3 ; \frac{1}{3e^{t}} | 2^{k-1} ; \frac{2^k}{2}
        x_{0} \cos (\omega t) ; \cos(\omega t)x_0
        \lfloor n/2\rfloor + \lfloor (n+1)/2\rfloor ; n | (-1)^{n} ; \cos(n\pi)
        \binom{n}{k} ; \frac{n!}{k!(n-k)!}
        \sqrt{4 \pi G \rho_{0} r_{0}^{2}} ; 2r_0\sqrt{\pi G\rho_0}
        2\cdot3\frac12 ; 7""",
    "logarithms and trigonometry": r"""
        \log_2 8 ; 3 | \ln 4 ; 2\ln 2 | 2,-\log _{10} 250 ; 2, -3+2\log_{10} 2 | \log 100 ; 2
        \sin^2 x + \cos^2 x ; 1 | \sin 2x ; 2\sin x\cos x | \tan^{-1} 1 ; \frac{\pi}{4}
        \cotx ; \cot x
        \frac12 ; \sin 30^\circ | \sqrt{2} \cos (2 t-\pi / 4) ; \cos 2t+\sin 2t
        \pi/3 ; \arccos\frac12
        \ln(xy) ; \ln x + \ln y | \cos\pi/3 ; \frac12""",
    "pi and complex numbers": r"""
        12\pi ; 12π | \frac{\pi}{2} ; \pi/2 | 6-5i ; -5i+6 | i ; \sqrt{-1} | -1 ; e^{i\pi}
        \frac{1}{1+i} ; \frac{1-i}{2}""",
    "tuples": r"""
        (2,4) ; (2, 4) | (3,\frac{\pi}{2}) ; \left(3, \frac{\pi}{2}\right) | (15,-29) ; (15; -29)
        (3,5) ; x=3, y=5 | \langle 1,2\rangle ; (1,2) | (x,y)=(1,2) ; (1,2)
        (1,2),(3,4) ; (3,4),(1,2)""",
    "lists and sets": r"""
        1,-2 ; -2, 1 | 3,5,7 ; \{7,5,3\} | \{1,2\} ; \{2,1,1\} | 1,2 ; 1 \text{ and } 2
        1,2 ; x=1 \text{ or } x=2 | $-1$,$2$ ; 2,-1 | 1,2 ; x=1, 2 | -2,-2 ; -2,-2
        \{1,2\}\cup\{2,3\} ; \{1,2,3\} | \{1,2\}\cap\{2,3\} ; \{2\}""",
    "intervals": r"""
        [2,\infty) ; x\ge2 | [2,\infty) ; x \geqslant 2 | (-2,1) ; -2<x<1 | [-2,7] ; -2\le x\le7
        (-\infty,2)\cup(3,\infty) ; x<2 \text{ or } x>3 | (-\infty,0] ; x \leq 0 | x<1 ; -x>-1
        (3,\infty)\cup(-\infty,2) ; (-\infty,2)\cup(3,\infty) | (0,2] ; (0,1)\cup[1,2]
        \mathbb{R}\setminus\{2\} ; (-\infty,2)\cup(2,\infty) | x\ne2 ; (-\infty,2)\cup(2,\infty)
        (-\infty, 0)\cup\{1\} ; x<0 \text{ or } x=1 | [0,2]\cap(1,3) ; (1,2]
        k \geqslant 2 ; 2 \le k
        [2,5) ; x \in [2,5) | (1,\infty) ; \{x : x>1\} | \mathbb{R} ; (-\infty,\infty)""",
    "the empty set": r"""
        \varnothing ; \emptyset | \emptyset ; \{\} | \varnothing ; ∅""",
    "matrices": r"""
        A=\begin{pmatrix}1\\2\end{pmatrix} ; -\begin{pmatrix}-1\\-2\end{pmatrix}
        \begin{pmatrix}1&2\\3&4\end{pmatrix} ; \begin{bmatrix} 1 & 2 \\ 3 & \frac82 \end{bmatrix}
        \begin{pmatrix}-1/3\\2/3\end{pmatrix} ; \frac13\begin{pmatrix}-1\\2\end{pmatrix}
        \begin{pmatrix}1\\2\end{pmatrix} ; \left(\begin{array}{c}1\\[4pt]2\\ \end{array}\right)""",
    "equations": r"""
        1,-1,7,-7 ; x=\pm1,\pm7 | y^{\prime}+ry=0 ; y'+ry=0 | 3 ; f^{-1}(7)=3 | 0.5 ; P(X=1)=\frac12
        \angle B E A_{1}=90 ; \angle BEA_1=90^\circ | 5 ; x=5 | x=5 ; 5 | y=-2x ; y + 2x = 0
        5x-7y+11z+4=0 ; 5x+11z+4=7y | f(x)=2 x ; 2x
        x=5 ; 2x=10 | 42 ; \text{Area} = 42 | 7 ; AB = 7 | MR=SRMC ; SRMC=MR
        10 ; x = 2\cdot5 = 10""",
    "plus and minus": r"""
        1\pm\sqrt{19} ; 1-\sqrt{19}, 1+\sqrt{19} | 2,-2 ; \pm 2 | \{1\pm\sqrt5,-2\} ; -2, 1±√5""",
    "bases": r"""
        4210_{5} ; 4210_5 | 2A_{16} ; 2\text{A}_{16} | 1011_2 ; (1011)_2 | 12_{10} ; 12""",
    "decorations": r"""
        45 ; 45^\circ | 45^{\circ} ; 45 \text{ degrees} | 5 ; 5 \text{ cm} | 5 ; 5\,\mathrm{m/s^2}
        70 ; \$70
        10000 ; 10,000 \text{ dollars} | 5\text{ cm} ; 5\text{ centimeters} | 3 ; 3\text{ ways}
        5 ; 5 km
        0.5 ; \text{0.5 miles} | 2000000 ; 2 \text{ million}
        4.5e33 ; 4.5\times10^{33}\ \mathrm{erg\,s^{-1}}
        90 ; 90\text{ square units} | 5 ; $5$ | $5$ ; 5. | 5 ; \(5\) | 5 ; 5\!""",
    "words and choices": r"""
        Evelyn ; \text{Evelyn} | Evelyn ; \text{evelyn.} | even ; \textbf{Even} | \text{(B)} ; B
        B ; (B)
        C ; \textbf{(C)} | (C) ; \text{c} | B ; \textbf{(B)}\ 12 | 12 ; \textbf{(B)}\ 12
        B,D ; \text{B and D}
        \text{no} ; no | true ; TRUE
        Ben ; ben | B ; \text{Option B} | 204 ; \text{The answer is } 204""",
    "phrases": r"""
        \emptyset ; \text{no solution} | \mathbb{R} ; \text{all real numbers}
        204 ; 204\text{ (minutes)}
        \frac{11}{2} ; \frac{11}{2}\text{ or }5.5 | 204 ; x \approx 204
        \sqrt2 ; \sqrt2 \approx 1.414
        \frac{\pi}{6}+2\pi k ; \frac{\pi}{6}+2\pi k, k\in\mathbb Z
        5000000 ; 5\text{ million dollars}
        12 ; 12\,\Omega | 12 ; 12\text{ in}^2 | 41.8 ; 41.8^\circ\text{C} | 204 ; = 204
        \frac12 ; \textcolor{red}{\frac12} | -2,1 ; x_1=1, x_2=-2
        12 ; 12\text{ square units} | 5 ; 5\text{ meters squared}""",
}
REJECT = {
    "tiny differences": r"""
        e^{-300} ; e^{-400} | e^{-300} ; 0 | 10^{-300}\pi ; 1e-300 | 10^{-300}\pi ; -10^{-300}\pi
        x+10^{-40} ; x | \sqrt2+10^{-200} ; \sqrt2 | x\cdot10^{-130} ; 0""",
    "a sign that is no punctuation": r"n ; n! | n! ; n | k ; k!! | \pi ; \pi!",
    "what differs only somewhere": r"""
        |x-5| ; 5-x | \sqrt{(x-5)^2} ; 5-x | \max(x,2) ; 2 | |x-5|+|x+5| ; 10 | n\bmod 29 ; n
        n!\cos^2(\frac{n\pi}{2}) ; 5n!\cos^2(\frac{n\pi}{2}) | \min(n,30) ; n
        \lfloor n/29\rfloor+n ; n""",
    "text that is no decoration": r"""
        2 ; 2\mathrm{e} | 3 ; 3\mathrm{i} | 5 ; 5\text{-2} | 5 ; 5\text{ / 2} | 5 ; 5\text{^2}
        5 ; 5\text{e3}
        5 ; 5\text{ x 2} | 5 ; 5\text{ squared} | 5 ; 5\text{ tenths} | 5 ; 5\text{ factorial}
        5 ; 5\text{ alternatively 7} | 5 ; 5\text{ versus 7}
        5 ; 5\text{ then 7} | 10 ; 10\text{ choose 2}
        5 ; 5\text{ ten thousand} | 5 ; 5\text{}^2 | 0.3 ; 0.3\text{ repeating} | 5 ; \text{ or } 5
        5 ; ,,,,5 | 529 ; 0,529 | 5 ; (A) \text{ or } 5 | 5 ; (A) (B) (C) 5 | 5 ; 5\approx7
        5 ; \sim5
        5 ; 5\tag{7} | 57 ; 5\#7 | \frac{x}{2} ; \frac{x}{2}\% | (A)\ 5 ; (B)\ 5
        (1,2) ; (y,x)=(1,2) | 5 ; \sin x=5 | 1,2 ; a=2,b=1 | 12.5 ; 0.$\frac{25}2$""",
    "numbers": r"""
        10000 ; 9999 | 2800 ; 28 | 5 ; -5 | 0.5 ; 0.05 | 12 ; 21 | 1 ; 1.0000000001 | 1e-6 ; 1.1e-6
        10^{100} ; 10^{101}
        2^{1009} ; 2^{1010} | 1e-300 ; 2e-300 | \frac{1}{2} ; \frac{2}{1} | 1\frac45 ; \frac45
        5 ; 5\cdot5
        0.15 ; 15 | 0.5 ; 0.5\% | 1 ; 1\% | 62.5% ; 0.0625 | 4.5e33 ; 4.5e32 | 1,234 ; 1,235
        12 ; 1 2 | 10^{33} ; 10^{3}3
        \frac13 ; 0.\overline{4} | \frac13 ; 0.3333 | 5 ; 5! | 5 ; 5 + 1 | 5 ; 5^2 | 120 ; 12 0""",
    "rounded decimals": r"""
        \sqrt2 ; 1.41421356
        \pi ; 3.14159265358979323846264338327950288419716939937510582097494459230781640628620899
        \pi ; 22/7 | \frac{2}{3} ; 0.6667 | \ln 2 ; 0.693147 | e ; 2.718281828 | 2\pi ; 6.28""",
    "expressions": r"""
        x ; y | x+1 ; x-1 | x^2 ; 2x | x ; |x| | x ; \sqrt{x^2} | 2RC+R+C ; 2rc+r+c
        \lfloor x\rfloor ; \lceil x\rceil
        \sin x ; \cos x | a^{b^c} ; (a^b)^c | 2^{k} ; 2^{k+1} | \frac{a}{b} ; \frac{b}{a}
        e^{-t} ; e^{t} | n! ; n^n
        \sin 2x ; 2\sin x | \log_2 x ; \log_3 x | 6-5i ; 6+5i | I(0) ; 0
        C_{1} e^{t} ; C_{2} e^{t} | (-1)^n ; 1""",
    "tuples and lists": r"""
        (2,4) ; (4,2) | (2,4) ; 2,4 | (2,4) ; \{2,4\} | (2,4) ; (2,4,4) | 1,2 ; 1 | 1,2 ; 1,2,3
        1,2 ; 12 | -2,-2 ; -2
        1,2,3 ; 1,2,3,\ldots | 1,2,3 ; 1, 2, 3, ... | (1,2),(3,4) ; (1,3),(2,4) | 3 ; 1,3
        (2,4) ; (2,4 | 1,1 ; 1""",
    "intervals": r"""
        [-2,7] ; [-2,7) | [-2,7] ; (-2,7) | (2,4) ; [2,4] | [2,\infty) ; x>2 | [2,\infty) ; x\le2
        x>2 ; y>2
        (-\infty,2)\cup(3,\infty) ; (-\infty,2) | (-\infty,2)\cup(3,\infty) ; (2,3) | (1,2) ; (2,1)
        x<2 \text{ or } x>3 ; 2<x<3 | x\ne2 ; x\ne3 | \emptyset ; \{0\} | \emptyset ; 0
        (0,1)\cup(1,2) ; (0,2)""",
    "matrices": r"""
        \begin{pmatrix}1&2\\3&4\end{pmatrix} ; \begin{pmatrix}1&3\\2&4\end{pmatrix}
        \begin{pmatrix}1\\2\end{pmatrix} ; \begin{pmatrix}1&2\end{pmatrix}
        \begin{pmatrix}1\\2\end{pmatrix} ; 1,2""",
    "equations": r"""
        y=-2x ; y=2x | x=5 ; y=5 | x=5 ; x=6 | x+y=1 ; x+y=2 | 5 ; x=6 | x+y=1 ; 1 | 5 ; x = 5 = 6
        MR=SRMC ; SRMC
        x<5 ; x=5 | 5 ; 4+1=6""",
    "plus and minus": r"""
        1\pm\sqrt{19} ; 1+\sqrt{19} | 2,-2 ; 2 | 3\pm\sqrt2 ; 2\pm\sqrt3""",
    "bases": r"""
        2516_8 ; 2516 | 2516_8 ; 2516_9 | 2516 ; 2516_8 | 4210_5 ; 555 | 10_2 ; 10_3""",
    "decorations that change": r"""
        5 ; 5 (or possibly 7) | 5 ; 5 \text{ or } 7 | 5 ; 5 \text{ (or possibly 7)}
        5 ; \text{not } 5 | 5 ; 5, 7
        5 ; 5 \text{ million} | 5\text{ cm} ; 5\text{ m} | 6m ; 6 | 5 ; 5x | 45^\circ ; 46^\circ
        5 ; 5?""",
    "words": r"""
        east ; seat | Evelyn ; Navin | A ; B | (B) ; (C) | even ; odd | \text{yes} ; \text{no}
        B,D ; B,C | east ; e a s t
        B ; \textbf{(C)}\ 12 | 12 ; \textbf{(B)}\ 13 | x ; X | E ; \mathrm{E}*2""",
    "undefined": r"""
        0 ; \log 0 | 0 ; \frac{0}{0} | 1 ; \frac{1}{0} | 5 ; \infty | \infty ; -\infty""",
    "code": r"""
        5 ; __import__('os').getpid() | 5 ; print(5) | 5 ; (lambda: 5)() | 5 ; eval('5')
        5 ; int("5")""",
}
GOLDS = [
    pair.split(" ; ")[0].strip()
    for table in (*ACCEPT.values(), *REJECT.values())
    for line in table.strip().splitlines()
    for pair in line.split(" | ")
]


def pairs(tables: dict[str, str]) -> list:
    return [
        pytest.param(*(part.strip() for part in pair.split(" ; ")), id=f"{clause}: {pair.strip()}")
        for clause, table in tables.items()
        for line in table.strip().splitlines()
        for pair in line.split(" | ")
    ]
