package load

import (
	"math"
	"math/rand/v2"
)

// popularity chooses numbers from 0 to n-1, equally or by Zipf's law. It is safe for concurrent use if each caller has a source of
// its own.
type popularity struct {
	n, stride int64
	zipf      *zipf // nil: all equally
}

func newPopularity(n int64, exponent float64) *popularity {
	p := &popularity{n: n, stride: stride(n)}
	if exponent > 0 {
		p.zipf = newZipf(n, exponent)
	}
	return p
}

func (p *popularity) choose(r *rand.Rand) int64 {
	if p.zipf == nil {
		return r.Int64N(p.n)
	}
	// Popular keys are not neighbours.
	return p.zipf.rank(r) * p.stride % p.n
}

// stride returns a number near the golden section of n that is coprime to n, so its multiples modulo n are all numbers below n in a
// scattered order. n is at most 2^31.
func stride(n int64) int64 {
	s := max(1, int64(float64(n)*0.618))
	for gcd(s, n) != 1 {
		s++
	}
	return s
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// zipf draws ranks by rejection-inversion (Hörmann and Derflinger, 1996). It needs no table and constant time for any n and any
// exponent above 0. The standard library needs an exponent above 1.
type zipf struct {
	exponent             float64
	first, last, squeeze float64
	n                    float64
}

func newZipf(n int64, exponent float64) *zipf {
	z := &zipf{exponent: exponent, n: float64(n)}
	z.first = z.area(1.5) - 1
	z.last = z.area(z.n + 0.5)
	z.squeeze = 2 - z.inverse(z.area(2.5)-z.density(2))
	return z
}

// rank returns a rank from 0, the most popular, to n-1.
func (z *zipf) rank(r *rand.Rand) int64 {
	for {
		u := z.last + r.Float64()*(z.first-z.last)
		x := z.inverse(u)
		k := min(max(math.Floor(x+0.5), 1), z.n)
		if k-x <= z.squeeze || u >= z.area(k+0.5)-z.density(k) {
			return int64(k) - 1
		}
	}
}

// density returns x^-exponent, area an integral of it, and inverse the inverse of area.
func (z *zipf) density(x float64) float64 { return math.Exp(-z.exponent * math.Log(x)) }

func (z *zipf) area(x float64) float64 {
	l := math.Log(x)
	t := (1 - z.exponent) * l
	if t == 0 {
		return l
	}
	return math.Expm1(t) / t * l
}

func (z *zipf) inverse(a float64) float64 {
	t := max(a*(1-z.exponent), -1)
	if t == 0 {
		return math.Exp(a)
	}
	return math.Exp(math.Log1p(t) / t * a)
}
