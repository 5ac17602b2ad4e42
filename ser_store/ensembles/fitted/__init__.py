"""What is fitted to members' scores on other speakers: members of a store in; a vote, or calibrated members, out."""
