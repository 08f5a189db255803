package load

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestZipf compares the frequencies of ranks with the law.
func TestZipf(t *testing.T) {
	const n, draws = 1000, 400_000
	for _, exponent := range []float64{0.5, 0.99, 1, 1.5, 3} {
		z, random := newZipf(n, exponent), rand.New(rand.NewPCG(1, 2))
		var seen [n]float64
		for range draws {
			seen[z.rank(random)]++
		}
		sum := 0.0
		for k := 1.0; k <= n; k++ {
			sum += math.Pow(k, -exponent)
		}
		for _, k := range []int{1, 2, 3, 10, 100, 1000} {
			want := draws * math.Pow(float64(k), -exponent) / sum
			if got := seen[k-1]; math.Abs(got-want) > 5*math.Sqrt(want)+1 {
				t.Errorf("exponent %v: rank %d came %v times, want about %.0f", exponent, k, got, want)
			}
		}
	}
}

func TestPopularity(t *testing.T) {
	for _, n := range []int64{1, 2, 3, 10, 97, 1000, 4096} {
		seen := map[int64]bool{}
		for i := range n {
			seen[i*stride(n)%n] = true
		}
		if int64(len(seen)) != n {
			t.Errorf("%d: the stride %d meets %d numbers", n, stride(n), len(seen))
		}
		for _, exponent := range []float64{0, 0.99, 10} {
			p, random := newPopularity(n, exponent), rand.New(rand.NewPCG(3, 4))
			for range 1000 {
				if i := p.choose(random); i < 0 || i >= n {
					t.Fatalf("%d of %d", i, n)
				}
			}
		}
	}
	if most := int64(1 << 31); gcd(stride(most), most) != 1 {
		t.Error("the stride of many keys")
	}
}

// TestUniform checks that without a skew all keys are chosen about equally often.
func TestUniform(t *testing.T) {
	p, random := newPopularity(100, 0), rand.New(rand.NewPCG(5, 6))
	var seen [100]int
	for range 100_000 {
		seen[p.choose(random)]++
	}
	for i, n := range seen {
		if n < 800 || n > 1200 {
			t.Errorf("%d came %d times of about 1000", i, n)
		}
	}
}
