"""The page of `pet review --serve`: one row at a time, on this machine alone.

`guard` lets in only what comes from the page itself, `app` answers it from a
`pet.reviewing.review_session`, `server` runs both on a loopback port until the review ends.
`page.html`, `page.css` and `page.js` are the page, as they are sent.
"""
