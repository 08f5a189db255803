package fronts

import (
	"fmt"
	"strings"
	"time"

	"github.com/edgehold/edgehold/api"
)

// The measures of the picture, in pixels.
const (
	pictureWidth  = 880
	pictureTop    = 72
	pictureRow    = 34
	pictureLabels = 190 // the width of the column with what is done
	picturePanel  = (pictureWidth - pictureLabels) / 2
	pictureLane   = picturePanel / 2
	pictureBox    = pictureLane - 14
)

// The colors of a step that ended as its user expects, and of one that did not.
const (
	expected   = "#1a7f37"
	unexpected = "#cf222e"
)

// drawOAuth draws the script, a row a step, beside what came of it at which edge: with Edgehold and with copies that are behind.
func drawOAuth(edgehold, copies []oauthSeen) string {
	var b strings.Builder
	height := pictureTop + len(oauthScript)*pictureRow + 12
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n",
		pictureWidth, height, pictureWidth, height)
	fmt.Fprintf(&b, `<title>What the OAuth provider answers at two edges 200 ms apart</title><rect width="%d" height="%d" fill="#fff"/>`+"\n", pictureWidth, height)
	for i, panel := range []struct {
		title string
		seen  []oauthSeen
	}{{"Edgehold", edgehold}, {"Copies that are a minute behind", copies}} {
		x := pictureLabels + i*picturePanel
		text(&b, x+picturePanel/2, 24, "middle", "#000", "bold", panel.title)
		for lane, region := range []api.RegionID{usEast, apSouth} {
			at := x + lane*pictureLane + pictureLane/2
			text(&b, at, 46, "middle", "#57606a", "normal", string(region))
			fmt.Fprintf(&b, `<line x1="%d" y1="54" x2="%d" y2="%d" stroke="#d0d7de"/>`+"\n", at, at, height-8)
		}
		for row, seen := range panel.seen {
			drawStep(&b, x, row, seen)
		}
	}
	for row, step := range oauthScript {
		text(&b, 10, pictureTop+row*pictureRow+4, "start", "#000", "normal", fmt.Sprintf("%d. %s", row+1, step.what))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// drawStep draws the box of a step in the panel that begins at x.
func drawStep(b *strings.Builder, x, row int, seen oauthSeen) {
	step := oauthScript[row]
	if step.at == apSouth {
		x += pictureLane
	}
	color := expected
	if seen.status != step.want {
		color = unexpected
	}
	y := pictureTop + row*pictureRow
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="24" rx="4" fill="%s"/>`+"\n", x+(pictureLane-pictureBox)/2, y-12, pictureBox, color)
	text(b, x+pictureLane/2, y+4, "middle", "#fff", "normal", fmt.Sprintf("%s, %s", answered(seen.status, step.what), rounded(seen.took)))
}

// answered says in a word what a status means for a step.
func answered(status int, what string) string {
	switch {
	case status != 200:
		return fmt.Sprint(status, " refused")
	case strings.HasPrefix(what, "use"):
		return "200 alice"
	}
	return "200 done"
}

func rounded(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

func text(b *strings.Builder, x, y int, anchor, color, weight, words string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" fill="%s" font-weight="%s">%s</text>`+"\n", x, y, anchor, color, weight, words)
}
