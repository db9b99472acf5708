r"""Answers to questions: those that leave the work to do, and those in another form.

A line is `question ;; ground truth ;; answer`; hardened_tables.pairs() reads it.
"""

TAUGHT_REJECT = {
    "copied": r"""
        Convert $60^\circ$ to radians. ;; \frac{\pi}{3} ;; 60^\circ
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
        Simplify $-\frac68$. ;; -\frac34 ;; -\frac{12}{16}
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
        $A=\{1,2,3\}$, $B=\{2,3,4\}$. Find $A\cap B$. ;; \{2,3\} ;; A\cap B=\{2,3\}
        How likely are both? ;; 0.12 ;; P(A\cap B)=0.12
        For which $x$? ;; (-\infty,0)\cup(1,\infty) ;; \mathbb{R}\setminus[0,1]
        The price was reduced from \$50 to \$40. By what per cent? ;; 20 ;; 20\%
        It pays simple interest. What is the rate in per cent? ;; 5 ;; 5\%
        Simplify $\frac{\sin x}{1+\cos x}+\frac{1+\cos x}{\sin x}$. ;; 2\csc x ;; \frac{2}{\sin x}
        Simplify $\frac{x^3+x}{x^2}$. ;; x+\frac1x ;; \frac{x^2+1}{x}
        Simplify $\frac{x+y}{xy}$. ;; \frac1x+\frac1y ;; \frac1y+\frac1x
        Solve the equation. ;; Ce^{2x-x^2} ;; Ce^{2x}e^{-x^2}
        Simplify it. ;; e^{x-2} ;; \frac{e^x}{e^2}
        What is the largest power of 2 that divides it? ;; 32 ;; 2^5
        A 1500 kg car accelerates at 1 m/s². Which force is that? ;; 1.5\times10^3 ;; 1500
        Factor $z^3-2z^2+z-2$. ;; (z-2)(z^2+1) ;; (z-2)(z-i)(z+i)
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
