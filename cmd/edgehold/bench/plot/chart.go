package plot

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// chart is a chart before it is drawn.
type chart struct {
	Title, Note string
	X, Y        axis
	Series      []series
}

// series is one line of a chart, its points in the order of x. Its class gives it its colour.
type series struct {
	Name, Class string
	Points      []xy
}

// xy is a point, and the text that is shown for it.
type xy struct {
	x, y float64
	text string
}

// The size of a drawing, and of the margins for the labels of the axes and the names of the lines.
const (
	width, height           = 920.0, 340.0
	left, right, above, low = 76.0, 64.0, 14.0, 34.0
	nameWidth, nameHeight   = 56.0, 17.0
)

// drawing is a chart in the coordinates of its SVG.
type drawing struct {
	Title, Note              string
	Width, Height            float64
	Left, Right, Top, Bottom float64 // of the plot
	X, Y                     []label
	Lines                    []line
}

// label is text at a position.
type label struct {
	At   float64
	Text string
}

type line struct {
	Name, Class string
	Path        string
	NameX       float64
	NameY       float64
	Dots        []dot
}

type dot struct {
	X, Y float64
	Text string
}

func (c *chart) draw() *drawing {
	d := &drawing{Title: c.Title, Note: c.Note, Width: width, Height: height, Left: left, Right: width - right, Top: above, Bottom: height - low}
	for _, t := range c.X.ticks {
		d.X = append(d.X, label{tenth(d.across(t.at)), t.text})
	}
	for _, t := range c.Y.ticks {
		d.Y = append(d.Y, label{tenth(d.up(t.at)), t.text})
	}
	for _, s := range c.Series {
		l := line{Name: s.Name, Class: s.Class}
		var path strings.Builder
		for i, p := range s.Points {
			at := dot{tenth(d.across(c.X.place(p.x))), tenth(d.up(c.Y.place(p.y))), p.text}
			fmt.Fprintf(&path, "%c%v,%v", "ML"[min(i, 1)], at.X, at.Y)
			l.Dots = append(l.Dots, at)
			l.NameX, l.NameY = at.X, at.Y
		}
		l.Path = path.String()
		d.Lines = append(d.Lines, l)
	}
	d.spreadNames()
	return d
}

func (d *drawing) across(at float64) float64 { return d.Left + at*(d.Right-d.Left) }
func (d *drawing) up(at float64) float64     { return d.Bottom - at*(d.Bottom-d.Top) }

// spreadNames moves the names at the ends of lines apart if they overlap.
func (d *drawing) spreadNames() {
	order := make([]*line, len(d.Lines))
	for i := range d.Lines {
		order[i] = &d.Lines[i]
	}
	slices.SortStableFunc(order, func(a, b *line) int { return cmp.Compare(b.NameY, a.NameY) }) // from the lowest up
	for i, l := range order {
		for _, below := range order[:i] {
			if math.Abs(l.NameX-below.NameX) < nameWidth {
				l.NameY = min(l.NameY, below.NameY-nameHeight)
			}
		}
	}
}

// tenth rounds v to a tenth.
func tenth(v float64) float64 { return math.Round(v*10) / 10 }
