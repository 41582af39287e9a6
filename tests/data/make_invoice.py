"""Makes `invoice.pdf`, the sample invoice: `python tests/data/make_invoice.py`. The same bytes every time."""

from pathlib import Path

from PIL import Image, ImageDraw
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

TARGET = Path(__file__).with_name("invoice.pdf")
LINES = [
    ("Consulting, November 2026", "12 h", "85.00", "1,020.00"),
    ("Hosting, November 2026", "1", "240.00", "240.00"),
    ("Travel Lisboa - Porto", "2", "31.20", "62.40"),
]


def logo() -> Image.Image:
    """A picture, so that the sample is not text alone."""
    image = Image.new("RGB", (240, 80), "#0b3d63")
    draw = ImageDraw.Draw(image)
    for step in range(12):
        draw.ellipse((10 + 18 * step, 20, 50 + 18 * step, 60), outline=(255, 255 - 15 * step, 60), width=3)
    return image


def make(target: Path) -> None:
    """Write the invoice."""
    canvas = Canvas(str(target), pagesize=A4, invariant=1)
    canvas.setTitle("Invoice FT 2026/31")
    canvas.drawImage(ImageReader(logo()), 60, 745, width=150, height=50)
    canvas.setFont("Helvetica-Bold", 18)
    canvas.drawString(60, 700, "Invoice FT 2026/31")
    canvas.setFont("Helvetica", 10)
    for line, text in enumerate(
        ("Exemplo Serviços, Lda. - VAT PT 000000000", "To: Cliente de Exemplo, S.A.", "Date: 2026-11-23")
    ):
        canvas.drawString(60, 675 - 15 * line, text)
    y = 600.0
    for row in [("Description", "Quantity", "Price", "Amount (EUR)"), *LINES, ("Total", "", "", "1,322.40")]:
        for x, text in zip((60, 300, 380, 460), row, strict=True):
            canvas.drawString(x, y, text)
        canvas.line(60, y - 6, 540, y - 6)
        y -= 24
    canvas.drawString(60, 120, "Signed for Exemplo Serviços, Lda.:")
    canvas.showPage()
    canvas.save()


if __name__ == "__main__":
    make(TARGET)
